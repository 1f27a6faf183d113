"""Colorize photographs with trained colorizers; `dvc repro` trains them."""

import argparse
import sys
from pathlib import Path

from colorpipe import files
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main

STYLES = ("vivid", "faithful")


def colorize(options: argparse.Namespace) -> None:
    """Colorize photographs."""
    from colorpipe.app import photographs

    clean = photographs.run(
        photographs.plan(options.inputs, options.out, options.format),
        weights(options.model, options.style),
        options.device,
        size=options.size,
        temperature=options.temperature,
        force=options.force,
        compare=options.compare,
    )
    if not clean:
        sys.exit(1)


def models(options: argparse.Namespace) -> None:
    """List the colorizers, trained here or bundled, and what they are."""
    from colorpipe.app import model_zoo

    there(options.folder)
    if not list(options.folder.glob("*/best.safetensors")):
        print(
            f"{options.folder} holds no trained colorizers: `dvc repro` trains them; bundled:",
            file=sys.stderr,
        )
    print(model_zoo.table(options.folder))


def export(options: argparse.Namespace) -> None:
    """Export a colorizer as an ONNX file, checked against PyTorch with onnxruntime."""
    from colorpipe.app import export

    if options.out.suffix != ".onnx":
        raise UserError(f"-o {options.out}: use a file with the suffix .onnx")
    if options.out.exists() and not options.force:
        raise UserError(f"{options.out} exists: use --force to overwrite it")
    if not options.out.parent.is_dir():
        raise UserError(
            f"-o {options.out}: there is no folder {options.out.parent}: create it, or use another -o"
        )
    difference = export.export(
        weights(options.model, options.style), options.out, options.temperature
    )
    print(f"{options.out}: within {difference:.1g} Lab units of PyTorch")


def demo(options: argparse.Namespace) -> None:
    """Serve a page on this machine to try the trained colorizers."""
    from colorpipe.app import demo

    there(options.folder)
    demo.serve(options.folder, options.port)


def there(folder: Path) -> None:
    """Raise UserError for a folder of colorizers that is missing; the default one may be."""
    if folder != files.MODELS and not folder.is_dir():
        raise UserError(f"there is no folder {folder}")


def weights(name: str | None, style: str | None) -> Path:
    """The weight file for --model: a file, a folder with best.safetensors, or a colorizer's name; or the best of a style."""
    from colorpipe.app import model_zoo

    if name is None:
        style = style or model_zoo.DEFAULT
        name = model_zoo.best(files.MODELS, style)
        print(
            f"colorizer: {name}, the most {style} one here; `colorpipe models` lists all",
            file=sys.stderr,
        )
    for path in (
        Path(name),
        Path(name) / "best.safetensors",
        model_zoo.find(files.MODELS).get(name),
    ):
        if path and path.is_file():
            return path
    live = files.LIVE / "metrics.json"
    if live.is_file() and files.read_json(live).get("training") == name:
        raise UserError(
            f"--model {name}: it is being trained now: wait for its end, or use another of `colorpipe models`"
        )
    raise UserError(
        f"--model {name}: no such weights here: `colorpipe models` lists them, `dvc repro` trains them"
    )


def port(text: str) -> int:
    """A whole number from 1 to 65535."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"use 1 to 65535, not {number}")
    return number


def pixels(text: str) -> int:
    """A whole number from 8 to 4096."""
    number = int(text)
    if not 8 <= number <= 4096:
        raise argparse.ArgumentTypeError(f"use 8 to 4096, not {number}")
    return number


def temperature(text: str) -> float:
    """A number from 0.01 to 10."""
    number = float(text)
    if not 0.01 <= number <= 10:
        raise argparse.ArgumentTypeError(f"use 0.01 to 10, not {text}")
    return number


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    root = argparse.ArgumentParser(prog="colorpipe", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "colorize", help="colorize photographs", description=colorize.__doc__
    )
    command.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="a photograph (JPEG, PNG, WebP, TIFF, HEIC) or a folder",
    )
    command.add_argument(
        "-o", "--out", required=True, type=Path, help="a folder; for one photograph also a file"
    )
    _add_model(command)
    command.add_argument(
        "--format", choices=("png", "jpg", "webp", "tif"), help="of the output (png, or as -o says)"
    )
    command.add_argument(
        "--size",
        type=pixels,
        help="pixels a side that the network sees (about what it was trained on)",
    )
    command.add_argument(
        "--compare", action="store_true", help="also write gray and color side by side"
    )
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: a GPU where there is one)"
    )
    command.set_defaults(call=colorize)

    command = commands.add_parser(
        "models", help="list the trained colorizers", description=models.__doc__
    )
    command.add_argument(
        "folder", nargs="?", type=Path, default=files.MODELS, help="where they are (./models)"
    )
    command.set_defaults(call=models)

    command = commands.add_parser(
        "export", help="export a colorizer as an ONNX file", description=export.__doc__
    )
    command.add_argument("-o", "--out", required=True, type=Path, help="the file to write")
    _add_model(command)
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.set_defaults(call=export)

    command = commands.add_parser(
        "demo", help="serve a page to try the colorizers", description=demo.__doc__
    )
    command.add_argument(
        "folder", nargs="?", type=Path, default=files.MODELS, help="where they are (./models)"
    )
    command.add_argument("--port", type=port, default=7860, help="of the page (7860)")
    command.set_defaults(call=demo)
    return root


def _add_model(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--style",
        choices=STYLES,
        help="of the colorizers here the one nearest to the originals' colorfulness, or to their colors (vivid)",
    )
    which.add_argument("--model", help="a name of `colorpipe models`, a folder or a file")
    command.add_argument(
        "--temperature",
        type=temperature,
        help="of a colorizer that predicts shares of the 313 ab bins: 1 is their mean, toward 0 the most likely (0.38, or "
        "as its weights say)",
    )


def main() -> None:
    """Run the command; an error ends it with one line."""
    options = parser().parse_args()
    run_main(lambda: options.call(options))
