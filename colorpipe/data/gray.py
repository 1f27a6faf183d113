"""Detection of gray and toned photographs, which would teach a colorizer to predict one tint."""

from typing import Literal

import torch
from torch import Tensor

from colorpipe.color import lab
from colorpipe.data.dataset import Array

MAX_CHROMA = 5  # Lab units; Zhang et al. 2016 call an image gray if all |a| and |b| are at most 5
GRAY_SHARE = 0.95  # share of the pixels; the others may be a date stamp
# A toned photograph has one color for each lightness. Measured on 1,500 photographs of ImageNet and
# on 100 of them as sepia, cyanotype and split-toned scans: with these limits, 1.3 % of the color
# photographs and 83 to 90 % of the toned ones count as toned.
MAX_DEVIATION = 3.5  # Lab units
TONED_SHARE = 0.9  # share of the pixels
MIN_RANGE = 40  # Lab units of lightness; a photograph of nothing but blue sky has less
MAX_SIDE = 64  # pixels per side that are measured, because more take longer
MAX_LEVELS, PIXELS_PER_LEVEL = 32, 32  # levels of lightness


def classify(image: Array) -> Literal["gray", "toned", "color"]:
    """Return whether an image (3, H, W), uint8, is gray, toned (sepia, blue, or split) or in color.

    It is gray if at least 95 % of the pixels have at most 5 units of chroma. To find a tone, the
    pixels are sorted by lightness and divided into levels. The image is toned if its lightness
    varies, and 90 % of the pixels are within 3.5 Lab units of the median color of their level.
    """
    pixels = _to_lab_pixels(image)
    if pixels[1:].norm(dim=0).quantile(GRAY_SHARE) <= MAX_CHROMA:
        return "gray"
    return "toned" if _is_toned(pixels) else "color"


def _is_toned(pixels: Tensor) -> bool:
    """Return whether pixels in Lab, (3, N), have one color for each lightness."""
    order = pixels[0].argsort()
    low, high = pixels[0].quantile(torch.tensor([0.05, 0.95]))
    levels = max(1, min(MAX_LEVELS, len(order) // PIXELS_PER_LEVEL))
    deviations = [
        (level - level.median(dim=1, keepdim=True).values).norm(dim=0)
        for level in pixels[1:, order].tensor_split(levels, dim=1)
    ]
    within = torch.cat(deviations).quantile(TONED_SHARE) <= MAX_DEVIATION
    return bool(within and high - low >= MIN_RANGE)


def _to_lab_pixels(image: Array) -> Tensor:
    """Return pixels of an image in Lab, (3, N): all, or a coarse grid of a large image."""
    step = -(-max(image.shape[1:]) // MAX_SIDE)
    image = image[:, ::step, ::step]
    return lab.rgb_to_lab(lab.uint8_to_float(torch.from_numpy(image.copy())[None]))[0].flatten(1)
