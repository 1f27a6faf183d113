"""A colorizer's test images ranked by error, as one file: the best, the median, the worst, and some at random."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from colorpipe import files, grids

if TYPE_CHECKING:
    from torch import Tensor

COUNT = 6  # images of each kind


def choose(errors: "Tensor", seed: int) -> dict[str, list[int]]:
    """Which images to show by their errors (N,): their numbers by kind; those at random are drawn with the seed."""
    import torch

    ranked = errors.argsort(stable=True).tolist()
    middle = max(0, (len(ranked) - COUNT) // 2)
    drawn = torch.randperm(len(ranked), generator=torch.Generator().manual_seed(seed))
    return {
        "best": ranked[:COUNT],
        "median": ranked[middle : middle + COUNT],
        "worst": ranked[::-1][:COUNT],
        "random": sorted(drawn[:COUNT].tolist()),
    }


def write(
    path: Path,
    kinds: Mapping[str, list[int]],
    numbers: list[int],
    scores: Mapping[str, "Tensor"],
    pictures: Mapping[str, "Tensor"],
) -> None:
    """Write the gallery: each kind's images; of each of `numbers` its scores (n,) and pictures (n, 3, H, W) in 0..1."""
    pixels = {name: grids.as_bytes(images) for name, images in pictures.items()}
    images = {
        str(number): {
            **{name: float(values[row]) for name, values in scores.items()},
            **{name: _png(rows[row]) for name, rows in pixels.items()},
        }
        for row, number in enumerate(numbers)
    }
    files.write_json(path, {"kinds": kinds, "images": images}, indent=None)


def _png(pixels: object) -> str:
    """An image (H, W, 3) uint8 as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
