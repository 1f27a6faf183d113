"""Colorize photographs with bundled colorizers, or with colorizers that `dvc repro` trained."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from colorpipe import files
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main

# The commands import what they need, because torch and gradio take seconds to import.


def colorize_photographs(options: argparse.Namespace) -> None:
    """Colorize photographs."""
    # On an Apple GPU, the CPU computes what Metal cannot. torch reads this when it is imported.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    from colorpipe import weights
    from colorpipe.app import jobs, photographs

    succeeded = photographs.colorize_all(
        jobs.plan_jobs(options.inputs, options.out, options.format, compare=options.compare),
        weights.find_weights(options.model, "--model"),
        options.device,
        size=options.size,
        temperature=options.temperature,
        force=options.force,
        strip=options.strip,
    )
    if not succeeded:
        sys.exit(1)


def evaluate_folders(options: argparse.Namespace) -> None:
    """Compare a folder of colorized photographs with the originals, whoever colorized them."""
    try:
        from colorpipe.app import evaluate
    except ModuleNotFoundError as error:
        raise UserError(
            f"evaluate needs {error.name}: run pip install '.[pipeline]' in the project's folder"
        ) from None
    if not evaluate.evaluate(options.predicted, options.originals, options.size, options.out):
        sys.exit(1)


def list_models(options: argparse.Namespace) -> None:
    """List the trained and the bundled colorizers with their test metrics."""
    from colorpipe.app import model_zoo

    check_models_folder(options.folder)
    if not list(options.folder.glob("*/best.safetensors")):
        print(
            f"{options.folder} has no trained colorizers: train them with `dvc repro`",
            file=sys.stderr,
        )
    print(model_zoo.format_table(options.folder))


def export_model(options: argparse.Namespace) -> None:
    """Export a colorizer as an ONNX file, and compare it with PyTorch."""
    from colorpipe import weights
    from colorpipe.app import export

    if options.out.suffix != ".onnx":
        raise UserError(f"-o {options.out}: use a file with the suffix .onnx")
    if options.out.exists() and not options.force:
        raise UserError(f"{options.out} exists: use --force to overwrite it")
    if not options.out.parent.is_dir():
        raise UserError(
            f"-o {options.out}: there is no folder {options.out.parent}: create it, or use "
            "another -o"
        )
    path = weights.find_weights(options.model, "--model")
    difference = export.export_onnx(path, options.out, options.temperature)
    print(f"{options.out}: within {difference:.1g} Lab units of PyTorch")


def serve_demo(options: argparse.Namespace) -> None:
    """Serve a page on this machine to try the colorizers."""
    try:
        from colorpipe.app import demo
    except ModuleNotFoundError as error:
        raise UserError(
            f"the demo needs {error.name}: run pip install '.[demo]' in the project's folder"
        ) from None
    check_models_folder(options.folder)
    demo.serve(options.folder, options.port)


def check_models_folder(folder: Path) -> None:
    """Raise UserError if `folder` is missing. The default folder may be missing."""
    if folder != files.MODELS and not folder.is_dir():
        raise UserError(f"there is no folder {folder}")


def number_between(
    kind: type[int] | type[float], low: float, high: float
) -> Callable[[str], float]:
    """Return a function that parses an argument and accepts numbers from `low` to `high`."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"use {low} to {high}, not {text}")
        return value

    return number


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="colorpipe", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    calls = {
        "colorize": colorize_photographs,
        "evaluate": evaluate_folders,
        "models": list_models,
        "export": export_model,
        "demo": serve_demo,
    }
    parsers = {}
    for name, call in calls.items():
        text = call.__doc__
        parsers[name] = commands.add_parser(name, help=text, description=text)
        parsers[name].set_defaults(call=call)
    _add_colorize_options(parsers["colorize"])
    _add_evaluate_options(parsers["evaluate"])
    _add_models_folder(parsers["models"])
    _add_export_options(parsers["export"])
    _add_demo_options(parsers["demo"])
    return parser


def _add_colorize_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="a photograph (JPEG, PNG, WebP, TIFF, HEIC, AVIF) or a folder of photographs",
    )
    command.add_argument(
        "-o", "--out", required=True, type=Path, help="a folder, or a file for one photograph"
    )
    _add_model_options(command)
    command.add_argument(
        "--format",
        choices=("png", "jpg", "webp", "tif"),
        help="format of the output (default: the suffix of -o, else png)",
    )
    command.add_argument(
        "--size",
        type=number_between(int, 8, 4096),
        help="the network sees about SIZE * SIZE pixels (default: as its weight file says)",
    )
    command.add_argument(
        "--compare", action="store_true", help="also write gray and color side by side"
    )
    command.add_argument("--strip", action="store_true", help="leave out EXIF, XMP and IPTC")
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, mps, ... (default: a GPU if there is one)",
    )


def _add_evaluate_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("predicted", type=Path, help="folder of the colorized photographs")
    command.add_argument("originals", type=Path, help="folder of the originals, in color")
    command.add_argument(
        "--size",
        type=number_between(int, 16, 1024),
        default=256,
        help="all images are resized to SIZE x SIZE pixels first (default: 256)",
    )
    command.add_argument("-o", "--out", type=Path, help="also write the metrics to this JSON file")


def _add_export_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--out", required=True, type=Path, help="the file to write")
    _add_model_options(command)
    command.add_argument("--force", action="store_true", help="overwrite an existing file")


def _add_demo_options(command: argparse.ArgumentParser) -> None:
    _add_models_folder(command)
    command.add_argument(
        "--port",
        type=number_between(int, 1, 65535),
        default=7860,
        help="port of the page (default: 7860)",
    )


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        default="vivid",
        help="vivid or faithful, which are bundled; a name that `colorpipe models` lists; a folder "
        "with best.safetensors; or a file (default: vivid)",
    )
    command.add_argument(
        "--temperature",
        type=number_between(float, 0.01, 10),
        help="softmax temperature used to decode a colorizer that classifies over the 313 color "
        "bins: 1 gives the mean color, lower values give more vivid colors (default: the "
        "temperature at which the colorizer was tested)",
    )


def _add_models_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=files.MODELS,
        help="folder of the trained colorizers (default: ./models)",
    )


def main() -> None:
    """Run the command. An error ends it with one line."""
    options = build_parser().parse_args()
    run_main(lambda: options.call(options))
