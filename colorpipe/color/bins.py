"""The 313 color bins of Zhang, Isola and Efros 2016, "Colorful Image Colorization".

The bins are points on a grid of 10 Lab units. Zhang et al. publish them as a table that follows
no simple rule.
"""

import functools
import math

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")
SPACING = 10  # Lab units
RANGES = {  # for each a, the first and the last b
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
TEMPERATURE = 0.38  # softmax temperature of the annealed mean
GRID_CENTER = 12  # grid steps from the edge of the grid to gray
GRID_SIDE = 2 * GRID_CENTER + 1
CHUNK = 1 << 16  # colors whose distances to all bins are in memory at a time


def centers(device: torch.device = CPU) -> Tensor:
    """Return the ab of the bins in Lab units, (313, 2), sorted by a and then by b."""
    # A compiler folds the constant itself.
    return (_make_centers if torch.compiler.is_compiling() else _cached_centers)(device)


def _make_centers(device: torch.device) -> Tensor:
    points = [
        (a, b) for a, (first, last) in RANGES.items() for b in range(first, last + 1, SPACING)
    ]
    return torch.tensor(points, dtype=torch.float32, device=device)


_cached_centers = functools.cache(_make_centers)  # because a copy to a GPU waits for the GPU


class SoftEncoding(nn.Module):
    """Soft encoding of colors: weights exp(-d^2 / (2 sigma^2)) on the nearest bins, normalized.

    d is the distance to a bin. A color is compared only with the bins around its cell of the grid,
    which include its nearest bins.

    Args:
        neighbors: Number of nearest bins with a weight: 5 in the article of Zhang et al., 10 in
            their code. With 1, the encoding is one-hot.
        sigma: Standard deviation in Lab units, 5 in Zhang et al.
    """

    def __init__(self, neighbors: int, sigma: float) -> None:
        super().__init__()
        self.neighbors, self.sigma = neighbors, sigma
        candidates = _find_candidates(neighbors)
        self.candidates: Tensor
        self.candidate_centers: Tensor
        self.register_buffer("candidates", candidates, persistent=False)
        self.register_buffer("candidate_centers", centers()[candidates], persistent=False)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest bins of colors, and their weights. All other weights are 0.

        Args:
            points: a and b of sRGB colors in Lab units, (N, 2).

        Returns:
            Bin numbers, (N, neighbors) int64, the nearest bin first, and their weights, which sum
            to 1, (N, neighbors).
        """
        grid = ((points / SPACING).round().long() + GRID_CENTER).clamp(0, 2 * GRID_CENTER)
        cell = grid[:, 0] * GRID_SIDE + grid[:, 1]
        squared_distances = (points[:, None] - self.candidate_centers[cell]).square().sum(dim=2)
        nearest, index = squared_distances.topk(self.neighbors, largest=False)  # (N, neighbors)
        weights = torch.softmax(-nearest / (2 * self.sigma**2), dim=1)
        return self.candidates[cell].gather(1, index), weights


def _find_candidates(neighbors: int) -> Tensor:
    """Return the bins (625, K) that can be among the `neighbors` nearest bins of a color in a cell.

    A cell holds the colors that round to one point of the grid. Such a color is at most half a grid
    diagonal from the point. So its nearest bins are at most one diagonal farther from the point
    than the point's own nearest bins.
    """
    steps = SPACING * torch.arange(-GRID_CENTER, GRID_CENTER + 1.0)
    distances = torch.cdist(torch.cartesian_prod(steps, steps), centers())  # (625, 313)
    reach = distances.kthvalue(neighbors, dim=1).values + math.sqrt(2) * SPACING + 0.01
    most = int((distances <= reach[:, None]).sum(dim=1).max())
    return distances.topk(most, largest=False).indices


def find_nearest(ab: Tensor) -> Tensor:
    """Return the number of the nearest bin of each color.

    Colors are rounded to the grid. Distances are computed only if the table has no bin there.

    Args:
        ab: Colors in Lab units, (N, 2).

    Returns:
        Bin numbers, (N,) int64.
    """
    grid = (ab / SPACING).round().long() + GRID_CENTER
    inside = ((grid >= 0) & (grid <= 2 * GRID_CENTER)).all(dim=1)
    grid = grid.clamp(0, 2 * GRID_CENTER)
    numbers = _make_grid(ab.device)[grid[:, 0], grid[:, 1]]
    no_bin = ((numbers < 0) | ~inside).nonzero().flatten()
    for chunk in no_bin.split(CHUNK):
        numbers[chunk] = torch.cdist(ab[chunk], centers(ab.device)).argmin(dim=1)
    return numbers


def histogram(ab: Tensor) -> Tensor:
    """Count the pixels of ab (B, 2, H, W) in Lab units that are nearest to each bin.

    Returns:
        Counts, (313,) float64.
    """
    return find_nearest(ab.movedim(1, -1).flatten(0, 2)).bincount(minlength=COUNT).double()


def _make_grid(device: torch.device) -> Tensor:
    """Return the bin numbers by their position on the grid, with -1 for positions without a bin."""
    grid = torch.full((GRID_SIDE, GRID_SIDE), -1, device=device)
    positions = (centers(device) / SPACING).long() + GRID_CENTER
    grid[positions[:, 0], positions[:, 1]] = torch.arange(COUNT, device=device)
    return grid


def decode(logits: Tensor, temperature: float) -> Tensor:
    """Decode logits to colors by the annealed mean: the expectation under softmax(logits / T).

    Args:
        logits: Logits over the bins, (B, 313, H, W).
        temperature: T. 1 gives the mean; values toward 0 approach the mode.

    Returns:
        ab in Lab units, (B, 2, H, W).
    """
    # On a CPU, softmax and product are faster if the bins of a pixel are adjacent in memory.
    probabilities = torch.softmax(logits.float().permute(0, 2, 3, 1) / temperature, dim=3)
    ab = probabilities @ centers(logits.device)
    return ab.float().permute(0, 3, 1, 2)  # autocast computes the product in bfloat16
