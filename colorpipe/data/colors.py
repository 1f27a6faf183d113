"""The colors of a data set's training images, counted on a grid of half a Lab unit.

Color classification computes its prior from these counts. Encoding every pixel would take minutes.
"""

import torch
from torch import Tensor
from tqdm import tqdm

from colorpipe.color import lab

STEP = 0.5  # distance of neighboring points of the grid, in Lab units
HALF = 256  # steps from gray to the edge of the grid
PIXELS = 1 << 20  # approximate number of pixels in memory at a time


def count_colors(images: Tensor, title: str) -> Tensor:
    """Count the pixels of each color.

    Args:
        images: sRGB images of shape (N, 3, H, W), uint8.
        title: Title of the progress bar.

    Returns:
        a and b in Lab units and the number of pixels, for each color that occurs, shape (K, 3),
        float64.
    """
    side = 2 * HALF + 1
    counts = torch.zeros(side * side, dtype=torch.int64)
    batch = max(1, PIXELS // images[0, 0].numel())
    for start in tqdm(range(0, len(images), batch), title, unit="batch", leave=False, disable=None):
        ab = lab.rgb_to_lab(lab.uint8_to_float(images[start : start + batch]))[:, 1:]
        a, b = (ab / STEP).round().long().add(HALF).unbind(1)
        counts += (a * side + b).flatten().bincount(minlength=side * side)
    occupied = counts.nonzero().flatten()
    a, b = (part.sub(HALF).double() * STEP for part in (occupied // side, occupied % side))
    return torch.stack((a, b, counts[occupied].double()), dim=1)
