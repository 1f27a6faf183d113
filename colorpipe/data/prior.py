"""The prior of colors: the share of each of the 313 ab bins in a data set's training images."""

import torch
from torch import Tensor
from tqdm import tqdm

from colorpipe.color import bins, lab

STEP = 0.5  # Lab units: colors are counted on a grid, and its points encoded; a pixel each would take minutes
HALF = 256  # steps from gray to the edge of that grid
IMAGES = 1 << 20  # pixels in memory at a time, about


def color_prior(images: Tensor, neighbors: int, sigma: float, title: str) -> Tensor:
    """The mean soft encoding of all pixels: smoothed as the targets of training are.

    Args:
        images: sRGB, (N, 3, H, W) uint8.
        neighbors: of `bins.SoftEncoding`.
        sigma: of `bins.SoftEncoding`.
        title: of the progress bar.

    Returns:
        Shares that sum to 1, (313,) float32.
    """
    side = 2 * HALF + 1
    counts = torch.zeros(side * side, dtype=torch.int64)
    each = max(1, IMAGES // images[0, 0].numel())
    for start in tqdm(range(0, len(images), each), title, unit="batch", leave=False, disable=None):
        ab = lab.rgb_to_lab(lab.from_bytes(images[start : start + each]))[:, 1:]
        a, b = (ab / STEP).round().long().add(HALF).unbind(1)
        counts += (a * side + b).flatten().bincount(minlength=side * side)
    occupied = counts.nonzero().flatten()
    encode = bins.SoftEncoding(neighbors, sigma)
    prior = torch.zeros(bins.COUNT, dtype=torch.float64)
    for part in occupied.split(bins.CHUNK):
        points = torch.stack((part // side, part % side)).sub(HALF) * STEP  # (2, n)
        shares = encode(points[None, :, :, None])[0, :, :, 0]  # (313, n)
        prior += shares.double() @ counts[part].double()
    return (prior / prior.sum()).float()
