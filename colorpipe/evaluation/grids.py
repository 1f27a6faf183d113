"""Grids of images as PNG: one row per kind (gray, predicted, original), one column per image."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from colorpipe import io

CELL = 96  # pixels, about: images are enlarged by a whole factor, so that each pixel stays a square
GAP = 4
LABEL = 84


def write(path: Path, rows: Mapping[str, Tensor]) -> None:
    """Draw the rows, by name, of images (N, 3, H, W) in 0..1."""
    pixels = {name: as_bytes(images) for name, images in rows.items()}
    count, height, width = next(iter(pixels.values())).shape[:3]
    factor = max(1, round(CELL / height))
    cell_height, cell_width = height * factor, width * factor
    canvas = Image.new("RGB", (LABEL + count * (cell_width + GAP) + GAP, len(rows) * (cell_height + GAP) + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=16)
    for row, (name, images) in enumerate(pixels.items()):
        top = GAP + row * (cell_height + GAP)
        draw.text((LABEL - 8, top + cell_height // 2), name, fill="black", font=font, anchor="rm")
        for column, image in enumerate(images):
            enlarged = Image.fromarray(image).resize((cell_width, cell_height), Image.Resampling.NEAREST)
            canvas.paste(enlarged, (LABEL + GAP + column * (cell_width + GAP), top))
    _save(path, canvas)


def as_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in 0..1 to (N, H, W, 3) uint8."""
    rounded: NDArray[np.uint8] = (images.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)
    return rounded


def compare(path: Path, grids: Mapping[str, Path]) -> None:
    """Draw several grids of the same images as one: gray once, the predictions of each by name, the originals once."""
    opened = {name: Image.open(grid).convert("RGB") for name, grid in grids.items()}
    first = next(iter(opened.values()))
    strip = (first.height - GAP) // 3  # the three rows of a grid, each with the gap above it
    rows = [("gray", first, 0), *((name, image, 1) for name, image in opened.items()), ("original", first, 2)]
    canvas = Image.new("RGB", (first.width + LABEL // 2, len(rows) * strip + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=16)
    for number, (name, image, row) in enumerate(rows):
        images = image.crop((LABEL, row * strip, image.width, (row + 1) * strip))
        canvas.paste(images, (canvas.width - images.width, number * strip))
        draw.text((canvas.width - images.width - 8, number * strip + strip // 2), name, fill="black", font=font, anchor="rm")
    _save(path, canvas)


def _save(path: Path, canvas: Image.Image) -> None:
    with io.atomic_write(path) as temporary:
        canvas.save(temporary, "PNG", optimize=True)
