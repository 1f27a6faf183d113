"""The color prior: the share of each of the 313 color bins in a data set's training images."""

import torch
from torch import Tensor
from tqdm import tqdm

from colorpipe.color import bins, lab

# Colors are counted on a grid, and the grid's points are encoded. To encode every pixel would take
# minutes.
STEP = 0.5  # distance of neighboring points of the grid, in Lab units
HALF = 256  # steps from gray to the edge of the grid
PIXELS = 1 << 20  # approximate number of pixels in memory at a time


def color_prior(images: Tensor, neighbors: int, sigma: float, title: str) -> Tensor:
    """Return the mean soft encoding of all pixels, which is as smooth as the targets of training.

    Args:
        images: sRGB images of shape (N, 3, H, W), uint8.
        neighbors: Parameter of `bins.SoftEncoding`.
        sigma: Parameter of `bins.SoftEncoding`, in Lab units.
        title: Title of the progress bar.

    Returns:
        Shares of shape (313,), float32. Their sum is 1.
    """
    side = 2 * HALF + 1
    counts = torch.zeros(side * side, dtype=torch.int64)
    batch = max(1, PIXELS // images[0, 0].numel())
    for start in tqdm(range(0, len(images), batch), title, unit="batch", leave=False, disable=None):
        ab = lab.rgb_to_lab(lab.uint8_to_float(images[start : start + batch]))[:, 1:]
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
