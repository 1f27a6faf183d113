"""A colorizer's test images by error, as one file: the best, the median, the worst, and random ones."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from colorpipe import files
from colorpipe.evaluation import grids

COUNT = 6  # images of each kind
STANDARD = ("gray", "predicted", "original")


def choose(errors: Tensor, seed: int) -> dict[str, list[int]]:
    """Choose which images to show by their errors (N,): their numbers by kind; random ones are drawn with the seed."""
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
    scores: Mapping[str, Tensor],
    renderings: Mapping[str, Tensor],
    histograms: Mapping[str, list[float]],
) -> None:
    """Write the images of each kind, and the shares of the ab bins.

    For each of `numbers` its scores (n,) and renderings (n, 3, H, W) in 0..1: gray, predicted and original, and those at
    temperatures under their number.
    """
    pixels = {name: grids.as_bytes(images) for name, images in renderings.items()}
    images = {
        str(number): {
            **{name: float(values[row]) for name, values in scores.items()},
            **{name: _png(rows[row]) for name, rows in pixels.items()},
        }
        for row, number in enumerate(numbers)
    }
    rounded = {
        name: [float(f"{share:.3g}") for share in shares] for name, shares in histograms.items()
    }
    temperatures = [name for name in renderings if name not in STANDARD]
    content = {
        "kinds": kinds,
        "images": images,
        "temperatures": temperatures,
        "histograms": rounded,
    }
    files.write_json(path, content, indent=None)


def _png(pixels: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) uint8 as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
