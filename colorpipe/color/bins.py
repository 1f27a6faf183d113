"""The 313 ab bins of Zhang, Isola and Efros 2016, "Colorful Image Colorization": the table, encoding and decoding.

The bins are points of a grid of 10 Lab units. The paper's table has no simple rule: it covers the sRGB gamut, but is not
the set of the 313 points nearest to gray.
"""

import functools
import math

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")
SPACING = 10  # Lab units
RANGES = {  # a: the first and the last b, in steps of SPACING
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}
COUNT = sum((last - first) // SPACING + 1 for first, last in RANGES.values())  # 313
TEMPERATURE = 0.38  # of the annealed mean
GRID_CENTER = 12  # steps of the grid from its edge to gray
GRID_SIDE = 2 * GRID_CENTER + 1
CHUNK = 1 << 16  # colors whose distances to all bins are in memory at a time


def centers(device: torch.device = CPU) -> Tensor:
    """The bins' ab in Lab units, (313, 2), sorted by a, then b."""
    return (_centers if torch.compiler.is_compiling() else _cached_centers)(
        device
    )  # a compiler folds the constant itself


def _centers(device: torch.device) -> Tensor:
    points = [
        (a, b) for a, (first, last) in RANGES.items() for b in range(first, last + 1, SPACING)
    ]
    return torch.tensor(points, dtype=torch.float32, device=device)


_cached_centers = functools.cache(_centers)  # a copy to a GPU waits for it


class SoftEncoding(nn.Module):
    """Encodes colors as soft targets over the bins: the nearest bins, weighted by exp(-d^2 / (2 sigma^2)).

    A color is compared with the bins around its place on the grid alone, which all its nearest ones are among.

    Args:
        neighbors: how many of the nearest bins have a share: 5 in the paper, 10 in its code; 1 is a one-hot encoding.
        sigma: in Lab units, 5 in the paper.
    """

    def __init__(self, neighbors: int, sigma: float) -> None:
        super().__init__()
        self.neighbors, self.sigma = neighbors, sigma
        candidates = _around_each_point(neighbors)
        self.candidates: Tensor
        self.places: Tensor
        self.register_buffer("candidates", candidates, persistent=False)
        self.register_buffer("places", centers()[candidates], persistent=False)

    def forward(self, ab: Tensor) -> Tensor:
        """Encode the ab of sRGB colors in Lab units, (B, 2, H, W).

        Returns:
            Shares that sum to 1 over the bins, (B, 313, H, W), in channels-last order.
        """
        points = ab.permute(0, 2, 3, 1).flatten(0, 2)  # (N, 2)
        grid = ((points / SPACING).round().long() + GRID_CENTER).clamp(0, 2 * GRID_CENTER)
        cell = grid[:, 0] * GRID_SIDE + grid[:, 1]
        squares = (points[:, None] - self.places[cell]).square().sum(dim=2)  # (N, K), of distances
        nearest, index = squares.topk(self.neighbors, largest=False)
        shares = torch.softmax(-nearest / (2 * self.sigma**2), dim=1)
        encoded = points.new_zeros(len(points), COUNT).scatter_(
            1, self.candidates[cell].gather(1, index), shares
        )
        return encoded.view(len(ab), *ab.shape[2:], COUNT).permute(0, 3, 1, 2)


def _around_each_point(neighbors: int) -> Tensor:
    """For each point of the grid the bins, (625, K), among which are the `neighbors` nearest of any color that rounds to it.

    Such a color is half a diagonal of the grid away at most, so its nearest bins are no farther from the point than the
    point's own and twice that.
    """
    steps = SPACING * torch.arange(-GRID_CENTER, GRID_CENTER + 1.0)
    distances = torch.cdist(torch.cartesian_prod(steps, steps), centers())  # (625, 313)
    reach = distances.kthvalue(neighbors, dim=1).values + math.sqrt(2) * SPACING + 0.01
    return distances.topk(
        int((distances <= reach[:, None]).sum(dim=1).max()), largest=False
    ).indices


def nearest(ab: Tensor) -> Tensor:
    """The number of the nearest bin of each color, (N, 2) in Lab units to (N,).

    By rounding to the grid; only where the table has no such point by distances.
    """
    grid = (ab / SPACING).round().long() + GRID_CENTER
    inside = ((grid >= 0) & (grid <= 2 * GRID_CENTER)).all(dim=1)
    grid = grid.clamp(0, 2 * GRID_CENTER)
    number = _grid(ab.device)[grid[:, 0], grid[:, 1]]
    far = ((number < 0) | ~inside).nonzero().flatten()
    for part in far.split(CHUNK):
        number[part] = torch.cdist(ab[part], centers(ab.device)).argmin(dim=1)
    return number


def histogram(ab: Tensor) -> Tensor:
    """How many pixels of ab (B, 2, H, W) in Lab units are nearest to each bin: (313,) float64."""
    return nearest(ab.movedim(1, -1).flatten(0, 2)).bincount(minlength=COUNT).double()


def _grid(device: torch.device) -> Tensor:
    """The numbers of the bins by their place on the grid, -1 where there is none."""
    grid = torch.full((GRID_SIDE, GRID_SIDE), -1, device=device)
    places = (centers(device) / SPACING).long() + GRID_CENTER
    grid[places[:, 0], places[:, 1]] = torch.arange(COUNT, device=device)
    return grid


def decode(logits: Tensor, temperature: float) -> Tensor:
    """Decode logits over the bins to colors: the annealed mean, an expectation under softmax(logits / temperature).

    Args:
        logits: (B, 313, H, W).
        temperature: 1 is the mean, toward 0 the mode.

    Returns:
        ab in Lab units, (B, 2, H, W).
    """
    shares = torch.softmax(logits.float() / temperature, dim=1)
    return torch.einsum("bqhw,qc->bchw", shares, centers(logits.device))
