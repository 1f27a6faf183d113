"""Cross-entropy over the 313 ab bins, with class re-balancing (Zhang, Isola and Efros 2016, section 2).

A color is a soft target, its nearest bins' shares. Most pixels are nearly gray, so each pixel is weighted by its nearest
bin's rarity; without that, predictions are pale.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from colorpipe.color import bins
from colorpipe.config import Strict
from colorpipe.losses.loss import Loss


class Config(Strict):
    """The soft encoding's neighbors and sigma (see `bins.SoftEncoding`), and the re-balancing's lambda."""

    neighbors: Annotated[int, Field(ge=1, le=bins.COUNT)]
    sigma: Annotated[float, Field(gt=0, le=100)]
    rebalancing: Annotated[float, Field(gt=0, le=1)]


class Classification(Loss):
    """The mean over pixels and images, a scalar. Its targets are the true ab averaged to the logits' resolution."""

    head = "bins"

    def __init__(self, neighbors: int, sigma: float, weights: Tensor) -> None:
        super().__init__()
        self.encode = bins.SoftEncoding(neighbors, sigma)
        self.weights: Tensor
        self.register_buffer("weights", weights)

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Logits (B, 313, h, w) at 1 / k of the resolution against the true image as Lab (B, 3, H, W); `rgb` is ignored."""
        ab = F.avg_pool2d(
            lab[:, 1:], -(-lab.shape[-2] // predicted.shape[-2]), ceil_mode=True
        )  # (B, 2, h, w)
        targets = _rows(self.encode(ab))
        cross_entropy = F.cross_entropy(_rows(predicted), targets, reduction="none")  # (B * h * w,)
        return (cross_entropy * self.weights[targets.argmax(dim=1)]).mean()


def _rows(maps: Tensor) -> Tensor:
    """(B, 313, h, w) as (B * h * w, 313): over adjacent values torch's softmax takes a third of the time on a CPU."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def rebalancing_weights(prior: Tensor, rebalancing: float) -> Tensor:
    """The weight of each bin, (313,): proportional to 1 / ((1 - lambda) p + lambda / Q), 1 on average under the prior p.

    lambda, `rebalancing`, mixes the prior with the uniform distribution over the Q bins, so bins that never occur stay
    finite; at 1 all weigh the same.
    """
    weights = 1 / ((1 - rebalancing) * prior + rebalancing / len(prior))
    return weights / (prior * weights).sum()


def build(init: Mapping[str, Tensor], metadata: Mapping[str, Any], prior: Tensor) -> Classification:
    """The loss under the bins' shares (313,) in the training set."""
    weights = rebalancing_weights(prior, float(metadata["rebalancing"]))
    return Classification(int(metadata["neighbors"]), float(metadata["sigma"]), weights)
