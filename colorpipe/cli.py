"""The command `colorpipe`: what one does with trained colorizers. Training them is DVC's business."""

import argparse
import sys
from pathlib import Path

from colorpipe import errors, paths
from colorpipe.errors import UserError


def colorize(options: argparse.Namespace) -> None:
    """Colorize photographs."""
    from colorpipe import colorize

    work = colorize.jobs(options.inputs, options.out, f".{options.format}")
    clean = colorize.run(
        work,
        weights(options.model),
        options.device,
        size=options.size,
        force=options.force,
        compare=options.compare,
    )
    if not clean:
        sys.exit(1)


def models(options: argparse.Namespace) -> None:
    """List the trained colorizers, and what they are."""
    from colorpipe import catalogue

    print(catalogue.table(options.folder))


def export(options: argparse.Namespace) -> None:
    """Write a colorizer as an ONNX file, once it is checked against PyTorch with onnxruntime."""
    from colorpipe import export

    if options.out.exists() and not options.force:
        raise UserError(f"{options.out} is there already: --force writes it anew")
    difference = export.export(weights(options.model), options.out)
    print(f"{options.out}: within {difference:.1g} Lab units of PyTorch")


def demo(options: argparse.Namespace) -> None:
    """Serve a page on this machine to try the trained colorizers on."""
    from colorpipe import demo

    demo.serve(options.folder, options.port)


def weights(name: str) -> Path:
    """The file of weights that is meant: a file, a folder with best.safetensors, or a colorizer's name."""
    for path in (Path(name), paths.MODELS / name):
        if path.is_dir():
            path = path / "best.safetensors"
        if path.is_file():
            return path
    raise UserError(f"--model {name}: no such weights here (`colorpipe models` lists them; `dvc repro` trains them)")


def pixels(text: str) -> int:
    """A whole number of 8 to 4096."""
    number = int(text)
    if not 8 <= number <= 4096:
        raise argparse.ArgumentTypeError(f"should be 8 to 4096, not {number}")
    return number


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    root = argparse.ArgumentParser(prog="colorpipe", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("colorize", help="colorize photographs", description=colorize.__doc__)
    command.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="a photograph (JPEG, PNG, WebP, TIFF) or a folder"
    )
    command.add_argument("-o", "--out", required=True, type=Path, help="a folder; for one photograph also a file")
    _add_model(command)
    command.add_argument("--format", choices=("png", "jpg", "webp", "tif"), default="png", help="of what is written (png)")
    command.add_argument("--size", type=pixels, help="pixels a side that the network sees (those it was trained on)")
    command.add_argument("--compare", action="store_true", help="also write gray and colour side by side")
    command.add_argument("--force", action="store_true", help="overwrite what is there")
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: a GPU where there is one)")
    command.set_defaults(call=colorize)

    command = commands.add_parser("models", help="list the trained colorizers", description=models.__doc__)
    command.add_argument("folder", nargs="?", type=Path, default=paths.MODELS, help="where they are (./models)")
    command.set_defaults(call=models)

    command = commands.add_parser("export", help="write a colorizer as an ONNX file", description=export.__doc__)
    command.add_argument("-o", "--out", required=True, type=Path, help="the file to write")
    _add_model(command)
    command.add_argument("--force", action="store_true", help="overwrite what is there")
    command.set_defaults(call=export)

    command = commands.add_parser("demo", help="serve a page to try the colorizers on", description=demo.__doc__)
    command.add_argument("folder", nargs="?", type=Path, default=paths.MODELS, help="where they are (./models)")
    command.add_argument("--port", type=int, default=7860, help="of the page (7860)")
    command.set_defaults(call=demo)
    return root


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="resnet", help="a name of `colorpipe models`, a folder or a file (resnet)")


def main() -> None:
    """Run the command; a mistake ends it with one line."""
    options = parser().parse_args()
    errors.run(lambda: options.call(options))
