"""Options of the command line."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from colorpipe import files

MAX_SIZE = 1024  # pixels per side at which a network sees a photograph


def number_between(
    kind: type[int] | type[float], low: float, high: float
) -> Callable[[str], float]:
    """Return a function that parses an argument and accepts numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:  # also true for NaN
            number = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"use {number} from {low} to {high}, not {text}")
        return value

    return parse


def path_argument(text: str) -> Path:
    """Return the path of an argument. An empty text, as of an unset variable, is an error."""
    if not text:
        raise argparse.ArgumentTypeError("use a path, not an empty text")
    return Path(text)


def add_colorize_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `colorpipe colorize`."""
    command.add_argument(
        "inputs",
        nargs="+",
        type=path_argument,
        metavar="INPUT",
        help="a photograph (JPEG, PNG, WebP, TIFF, HEIC, AVIF) or a folder of photographs",
    )
    command.add_argument(
        "-o",
        "--out",
        required=True,
        type=path_argument,
        help="a folder, or a file for one photograph",
    )
    add_model_options(command)
    command.add_argument(
        "--format",
        choices=("png", "jpg", "webp", "tif"),
        help="format of the output (default: the suffix of -o, else png)",
    )
    command.add_argument(
        "--size",
        type=number_between(int, 8, MAX_SIZE),
        help="size at which the network sees a photograph: about SIZE x SIZE pixels, 8 to 1024 "
        "(default: as stored in the weight file; 192 for the bundled colorizer)",
    )
    command.add_argument(
        "--compare", action="store_true", help="also write gray and color side by side"
    )
    command.add_argument("--strip", action="store_true", help="leave out EXIF, XMP and IPTC")
    command.add_argument("--force", action="store_true", help="overwrite existing files")
    command.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:<number> or mps (default: auto, a GPU if there is one)",
    )


def add_evaluate_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `colorpipe evaluate`."""
    command.add_argument(
        "predicted", type=path_argument, help="folder of the colorized photographs"
    )
    command.add_argument("originals", type=path_argument, help="folder of the originals, in color")
    command.add_argument(
        "--size",
        type=number_between(int, 16, 1024),
        default=256,
        help="all images are resized to SIZE x SIZE pixels first, 16 to 1024 (default: 256)",
    )
    command.add_argument(
        "-o", "--out", type=path_argument, help="also write the metrics to this .json file"
    )
    command.add_argument("--force", action="store_true", help="overwrite an existing file")


def add_export_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `colorpipe export`."""
    command.add_argument(
        "-o", "--out", required=True, type=path_argument, help="the .onnx file to write"
    )
    add_model_options(command)
    command.add_argument("--force", action="store_true", help="overwrite an existing file")


def add_demo_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `colorpipe demo`."""
    add_models_folder(command)
    command.add_argument(
        "--port",
        type=number_between(int, 1, 65535),
        default=7860,
        help="port of the page, 1 to 65535 (default: 7860)",
    )


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Add the options that select a colorizer and how it is decoded."""
    command.add_argument(
        "--model",
        default="bundled",
        help="a name that `colorpipe models` lists, a folder with best.safetensors, or a file "
        "(default: bundled, which is part of the package)",
    )
    command.add_argument(
        "--vividness",
        type=number_between(float, 0, 1),
        help="0 (lowest error) to 1 (about as colorful as the originals); for the bundled "
        "colorizer, and for colorizers with color classification that `dvc repro` has evaluated "
        "(default: the decoding of the evaluation)",
    )


def add_models_folder(command: argparse.ArgumentParser) -> None:
    """Add the folder of the trained colorizers."""
    command.add_argument(
        "folder",
        nargs="?",
        type=path_argument,
        default=files.MODELS,
        help="folder of the trained colorizers (default: ./models)",
    )
