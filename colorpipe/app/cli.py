"""Colorize photographs with the bundled colorizer, or with colorizers that `dvc repro` trained."""

import argparse
import importlib.metadata
import os
import sys
from pathlib import Path

from colorpipe import files
from colorpipe.app.options import (
    add_colorize_options,
    add_demo_options,
    add_evaluate_options,
    add_export_options,
    add_models_folder,
)
from colorpipe.runtime.errors import UserError, printable_path
from colorpipe.runtime.process import run_main

# The commands import what they need, because torch and gradio take seconds to import.


def colorize_photographs(options: argparse.Namespace) -> None:
    """Colorize photographs."""
    from colorpipe.app import jobs, model_zoo, photographs

    succeeded = photographs.colorize_all(
        jobs.plan_jobs(options.inputs, options.out, options.format, compare=options.compare),
        model_zoo.find_colorizer(options.model),
        options.device,
        size=options.size,
        vividness=options.vividness,
        force=options.force,
        strip=options.strip,
    )
    if not succeeded:
        sys.exit(1)


def evaluate_folders(options: argparse.Namespace) -> None:
    """Compare the colorized photographs of any program with the originals."""
    try:
        from colorpipe.app import evaluate
    except ModuleNotFoundError as error:
        raise UserError(
            f"evaluate needs {error.name}: run pip install '.[pipeline]' in the project's folder"
        ) from None
    if options.out and options.out.suffix != ".json":
        raise UserError(f"-o {printable_path(options.out)}: use a file with the suffix .json")
    if options.out:
        check_overwriting(options.out, options.force)
    if not evaluate.evaluate(options.predicted, options.originals, options.size, options.out):
        sys.exit(1)


def list_models(options: argparse.Namespace) -> None:
    """List the trained colorizers and the bundled one with their test metrics."""
    from colorpipe.app import model_zoo

    check_models_folder(options.folder)
    print(model_zoo.format_table(options.folder))
    if not list(options.folder.glob("*/best.safetensors")):
        print("This colorizer is bundled. `dvc repro` trains more.", file=sys.stderr)


def export_model(options: argparse.Namespace) -> None:
    """Export a colorizer as an ONNX file, and compare it with PyTorch."""
    from colorpipe.app import export, model_zoo

    out = printable_path(options.out)
    if options.out.suffix != ".onnx":
        raise UserError(f"-o {out}: use a file with the suffix .onnx")
    check_overwriting(options.out, options.force)
    path = model_zoo.find_colorizer(options.model)
    difference = export.export_onnx(path, options.out, options.vividness)
    print(f"{out}: within {difference:.1g} Lab units of PyTorch")


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


def check_overwriting(out: Path, force: bool) -> None:
    """Raise UserError if `out` exists, unless `force`."""
    if out.exists() and not force:
        raise UserError(f"{printable_path(out)} exists: use --force to overwrite it")


def check_models_folder(folder: Path) -> None:
    """Raise UserError if `folder` is missing. The default folder may be missing."""
    if folder != files.MODELS and not folder.is_dir():
        raise UserError(
            f"{printable_path(folder)} is not a folder: use a folder of trained colorizers"
        )


def read_version() -> str:
    """Return the version of the installed package."""
    try:
        return importlib.metadata.version("colorpipe")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="colorpipe", description=__doc__)
    parser.add_argument("--version", action="version", version=f"colorpipe {read_version()}")
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
    add_colorize_options(parsers["colorize"])
    add_evaluate_options(parsers["evaluate"])
    add_models_folder(parsers["models"])
    add_export_options(parsers["export"])
    add_demo_options(parsers["demo"])
    return parser


def main() -> None:
    """Run the command. An error ends it with one line."""
    options = build_parser().parse_args()
    # On an Apple GPU, the CPU computes what Metal cannot. torch reads this when it is imported.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    run_main(lambda: options.call(options))
