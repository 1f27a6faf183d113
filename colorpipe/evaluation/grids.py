"""Grids of images as PNG: one row per kind (gray, predicted, original), one column per image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from colorpipe import files

CELL = 96  # pixels, about: images are enlarged by a whole factor, so that each pixel stays a square
GAP = 4
LABEL = 84


def write(path: Path, rows: Mapping[str, Tensor]) -> None:
    """Draw the rows, by name, of images (N, 3, H, W) in 0..1."""
    pixels = {name: as_bytes(images) for name, images in rows.items()}
    count, height, width = next(iter(pixels.values())).shape[:3]
    factor = max(1, round(CELL / height))
    cell_height, cell_width = height * factor, width * factor
    canvas = Image.new(
        "RGB",
        (LABEL + count * (cell_width + GAP) + GAP, len(rows) * (cell_height + GAP) + GAP),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=16)
    for row, (name, images) in enumerate(pixels.items()):
        top = GAP + row * (cell_height + GAP)
        draw.text((LABEL - 8, top + cell_height // 2), name, fill="black", font=font, anchor="rm")
        for column, image in enumerate(images):
            enlarged = Image.fromarray(image).resize(
                (cell_width, cell_height), Image.Resampling.NEAREST
            )
            canvas.paste(enlarged, (LABEL + GAP + column * (cell_width + GAP), top))
    _save(path, canvas)


def as_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in 0..1 to (N, H, W, 3) uint8."""
    rounded: NDArray[np.uint8] = (
        (images.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)
    )
    return rounded


def compare(path: Path, groups: Sequence[Mapping[str, Path]]) -> None:
    """Draw grids as one. Each group, by name, is of the same images: gray once, the predictions, the originals once."""
    rows = [row for group in groups for row in _rows(group)]
    font = ImageFont.load_default(size=16)
    left = round(max(font.getlength(name) for name, _ in rows)) + 2 * GAP + 8
    width = left + max(images.width for _, images in rows)
    gaps = 3 * GAP * (len(groups) - 1)
    canvas = Image.new(
        "RGB", (width, sum(images.height for _, images in rows) + gaps + GAP), "white"
    )
    draw = ImageDraw.Draw(canvas)
    top = 0
    for name, images in rows:
        if name == "gray" and top:
            top += 3 * GAP
        canvas.paste(images, (left, top))
        draw.text((left - 8, top + images.height // 2), name, fill="black", font=font, anchor="rm")
        top += images.height
    _save(path, canvas)


def _rows(group: Mapping[str, Path]) -> list[tuple[str, Image.Image]]:
    """The rows of grids of the same images, without their names."""
    opened = {name: Image.open(grid).convert("RGB") for name, grid in group.items()}
    first = next(iter(opened.values()))
    strip = (first.height - GAP) // 3  # the three rows of a grid, each with the gap above it
    rows = [
        ("gray", first, 0),
        *((name, image, 1) for name, image in opened.items()),
        ("original", first, 2),
    ]
    return [
        (name, image.crop((LABEL, row * strip, image.width, (row + 1) * strip)))
        for name, image, row in rows
    ]


def _save(path: Path, canvas: Image.Image) -> None:
    with files.atomic_write(path) as temporary:
        canvas.save(temporary, "PNG", optimize=True)
