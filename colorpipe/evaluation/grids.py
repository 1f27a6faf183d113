"""Grids of images as PNG. The rows are gray, predicted and original, the columns are images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from colorpipe import files

ROWS = ("gray", "predicted", "original")
CELL = 96  # approximate height of an image in pixels; images are enlarged by a whole factor
MAX_SIDE = 288  # pixels, the largest size of an image on the page
GAP = 4  # pixels between images
GROUP_GAP = 3 * GAP
LABEL = 84  # width of the row names in pixels
MARGIN = 8  # pixels between a row name and its images
FONT_SIZE = 16


def write(path: Path, rows: Mapping[str, Tensor]) -> None:
    """Draw a grid.

    Args:
        path: The PNG to write.
        rows: sRGB images in [0, 1] by row name, (N, 3, H, W) each.
    """
    pixels = {name: to_uint8(images) for name, images in rows.items()}
    count, height, width = next(iter(pixels.values())).shape[:3]
    factor = max(1, round(CELL / height))
    cell_height, cell_width = height * factor, width * factor
    size = (LABEL + count * (cell_width + GAP) + GAP, len(rows) * (cell_height + GAP) + GAP)
    canvas = Image.new("RGB", size, "white")
    for row, (name, images) in enumerate(pixels.items()):
        top = GAP + row * (cell_height + GAP)
        _draw_name(canvas, name, LABEL, top + cell_height // 2)
        for column, image in enumerate(images):
            enlarged = Image.fromarray(image).resize(
                (cell_width, cell_height), Image.Resampling.NEAREST
            )
            canvas.paste(enlarged, (LABEL + GAP + column * (cell_width + GAP), top))
    _save(path, canvas)


def read_images(path: Path) -> dict[str, list[NDArray[np.uint8]]]:
    """Cut a grid into its images and shrink them to the size that they had before `write`.

    The size follows from the blocks of equal pixels. If every image has a single color, each
    shrinks to one pixel.

    Args:
        path: A grid of square images.

    Returns:
        The images (H, W, 3) of the rows "gray", "predicted" and "original".
    """
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    step = (pixels.shape[0] - GAP) // len(ROWS)
    side = step - GAP
    grid = pixels[GAP:, LABEL + GAP :].reshape(len(ROWS), step, -1, step, 3)
    cells = grid[:, :side, :, :side].swapaxes(1, 2)  # (row, column, y, x, channel)
    divisors = [number for number in range(1, side + 1) if side % number == 0]
    factor = max(number for number in divisors if _is_enlarged(cells, number))
    small = cells[:, :, ::factor, ::factor]
    return {name: list(images) for name, images in zip(ROWS, small, strict=True)}


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Convert images (N, 3, H, W) in [0, 1] to an array (N, H, W, 3) of uint8."""
    rounded: NDArray[np.uint8] = (
        (images.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)
    )
    return rounded


def combine(path: Path, groups: Sequence[Mapping[str, Path]]) -> None:
    """Combine grids into one grid.

    Args:
        path: The PNG to write.
        groups: Grids by colorizer. The grids of a group show the same images. A group becomes one
            row in gray, one row per colorizer, and one row of originals.
    """
    rows = [row for group in groups for row in _strips(group)]
    font = ImageFont.load_default(size=FONT_SIZE)
    left = round(max(font.getlength(name) for name, _ in rows)) + 2 * GAP + MARGIN
    width = left + max(strip.width for _, strip in rows)
    height = sum(strip.height for _, strip in rows) + GROUP_GAP * (len(groups) - 1) + GAP
    canvas = Image.new("RGB", (width, height), "white")
    top = 0
    for name, strip in rows:
        if name == "gray" and top:
            top += GROUP_GAP
        canvas.paste(strip, (left, top))
        _draw_name(canvas, name, left, top + strip.height // 2)
        top += strip.height
    _save(path, canvas)


def _is_enlarged(cells: NDArray[np.uint8], factor: int) -> bool:
    """Return whether cells (row, column, y, x, channel) are blocks of factor x factor pixels."""
    small = cells[:, :, ::factor, ::factor]
    return np.array_equal(small.repeat(factor, axis=2).repeat(factor, axis=3), cells)


def _strips(group: Mapping[str, Path]) -> list[tuple[str, Image.Image]]:
    """Return the names and the images of a group's rows, cut from its grids."""
    opened = {name: Image.open(grid).convert("RGB") for name, grid in group.items()}
    first = next(iter(opened.values()))
    height = (first.height - GAP) // len(ROWS)  # of a row, with the gap above it
    rows = [
        (ROWS[0], first, 0),
        *((name, grid, 1) for name, grid in opened.items()),
        (ROWS[2], first, 2),
    ]
    return [
        (name, grid.crop((LABEL, row * height, grid.width, (row + 1) * height)))
        for name, grid, row in rows
    ]


def _draw_name(canvas: Image.Image, name: str, left: int, middle: int) -> None:
    """Write the name of a row next to its images, whose left edge and middle are given."""
    font = ImageFont.load_default(size=FONT_SIZE)
    ImageDraw.Draw(canvas).text((left - MARGIN, middle), name, fill="black", font=font, anchor="rm")


def _save(path: Path, canvas: Image.Image) -> None:
    with files.atomic_write(path) as temporary:
        canvas.save(temporary, "PNG", optimize=True)
