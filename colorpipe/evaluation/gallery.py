"""The gallery of a colorizer: its best, median and worst test images, in one JSON file."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from colorpipe import files
from colorpipe.evaluation import grids

COUNT = 6  # images of each kind


def choose(errors: Tensor) -> dict[str, list[int]]:
    """Choose the test images to show.

    Args:
        errors: The ab MSE of each test image, (N,).

    Returns:
        At most COUNT image numbers for each of the kinds "best", "median" and "worst".
    """
    ranked = errors.argsort(stable=True).tolist()
    middle = max(0, (len(ranked) - COUNT) // 2)
    return {
        "best": ranked[:COUNT],
        "median": ranked[middle : middle + COUNT],
        "worst": ranked[::-1][:COUNT],
    }


def write(
    path: Path,
    kinds: Mapping[str, list[int]],
    numbers: list[int],
    errors: Tensor,
    renderings: Mapping[str, Tensor],
) -> None:
    """Write a gallery as JSON with the keys "kinds" and "images".

    Args:
        path: The file to write.
        kinds: Image numbers by kind, as `choose` returns them.
        numbers: The numbers of the n images to write.
        errors: The ab MSE of each of these images, (n,).
        renderings: sRGB images in [0, 1] by name, (n, 3, H, W) each. Those named "predicted" and
            "original" are written.
    """
    pixels = {name: grids.to_uint8(renderings[name]) for name in ("predicted", "original")}
    images = {
        str(number): {
            "mse": float(errors[index]),
            **{name: encode_png(arrays[index]) for name, arrays in pixels.items()},
        }
        for index, number in enumerate(numbers)
    }
    files.write_json(path, {"kinds": kinds, "images": images}, indent=None)


def encode_png(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 3) as a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
