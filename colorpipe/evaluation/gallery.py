"""The gallery of a colorizer: best, median, worst and random test images, in one JSON file."""

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


def choose(errors: Tensor, seed: int) -> dict[str, list[int]]:
    """Choose the test images to show.

    Args:
        errors: The ab MSE of each test image, (N,).
        seed: The seed of the random images.

    Returns:
        At most COUNT image numbers for each of the kinds "best", "median", "worst" and "random".
    """
    ranked = errors.argsort(stable=True).tolist()
    middle = max(0, (len(ranked) - COUNT) // 2)
    shuffled = torch.randperm(len(ranked), generator=torch.Generator().manual_seed(seed))
    return {
        "best": ranked[:COUNT],
        "median": ranked[middle : middle + COUNT],
        "worst": ranked[::-1][:COUNT],
        "random": sorted(shuffled[:COUNT].tolist()),
    }


def write(
    path: Path,
    kinds: Mapping[str, list[int]],
    numbers: list[int],
    scores: Mapping[str, Tensor],
    renderings: Mapping[str, Tensor],
    histograms: Mapping[str, list[float]],
) -> None:
    """Write a gallery as JSON with the keys "kinds", "images" and "histograms".

    Args:
        path: The file to write.
        kinds: Image numbers by kind, as `choose` returns them.
        numbers: The numbers of the n images to write.
        scores: Scores of these images by name, (n,) each.
        renderings: "gray", "predicted" and "original" sRGB images in [0, 1], (n, 3, H, W) each.
        histograms: Shares (313,) of the color bins. Three significant digits are written.
    """
    pixels = {name: grids.to_uint8(images) for name, images in renderings.items()}
    images = {
        str(number): {
            **{name: float(values[index]) for name, values in scores.items()},
            **{name: _png(arrays[index]) for name, arrays in pixels.items()},
        }
        for index, number in enumerate(numbers)
    }
    rounded = {
        name: [float(f"{share:.3g}") for share in shares] for name, shares in histograms.items()
    }
    files.write_json(path, {"kinds": kinds, "images": images, "histograms": rounded}, indent=None)


def _png(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 3) as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
