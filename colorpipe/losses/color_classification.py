"""Cross-entropy over the 313 color bins with class re-balancing (Zhang et al. 2016, section 2).

The target of a pixel is the soft encoding of its color. Most pixels are nearly gray, so each pixel
is weighted by the rarity of its nearest bin. Without these weights, predictions are pale.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from colorpipe.color import bins
from colorpipe.config import Strict
from colorpipe.losses.loss import Loss


class Config(Strict):
    """Neighbors and sigma of `bins.SoftEncoding`, and lambda of the re-balancing."""

    neighbors: Annotated[int, Field(ge=1, le=bins.COUNT)]
    sigma: Annotated[float, Field(gt=0, le=100)]
    uniform_share: Annotated[float, Field(gt=0, le=1)]


class ColorClassification(Loss):
    """Weighted cross-entropy, averaged over pixels and images.

    The targets are encoded from the true ab, averaged to the resolution of the logits.

    Args:
        encode: The encoding of the targets.
        weights: Weight of each bin, (313,).
    """

    head = "bins"

    def __init__(self, encode: bins.SoftEncoding, weights: Tensor) -> None:
        super().__init__()
        self.encode = encode
        self.weights: Tensor
        self.register_buffer("weights", weights)

    @property
    def bin_weights(self) -> Tensor:
        """The weight of each bin, (313,)."""
        return self.weights

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare logits (B, 313, h, w) with Lab images (B, 3, H, W). `rgb` is ignored."""
        factor = -(-lab.shape[-2] // predicted.shape[-2])
        ab = F.avg_pool2d(lab[:, 1:], factor, ceil_mode=True)  # (B, 2, h, w)
        bin_numbers, targets = self.encode(_flatten_pixels(ab))
        log_probabilities = F.log_softmax(_flatten_pixels(predicted), dim=1).gather(1, bin_numbers)
        cross_entropy = -(log_probabilities * targets).sum(dim=1)
        weighted: Tensor = cross_entropy * self.weights[bin_numbers[:, 0]]
        return weighted.mean()


def color_prior(colors: Tensor, encode: bins.SoftEncoding) -> Tensor:
    """Compute the mean target of all pixels: the share of each bin.

    Args:
        colors: a and b in Lab units and the number of pixels of each color, (K, 3).
        encode: The encoding of the targets.

    Returns:
        Shares whose sum is 1, (313,) float32.
    """
    prior = torch.zeros(bins.COUNT, dtype=torch.float64)
    for part in colors.split(bins.CHUNK):
        bin_numbers, weights = encode(part[:, :2].float())
        prior.index_add_(0, bin_numbers.flatten(), (weights * part[:, 2:]).flatten())
    return (prior / prior.sum()).float()


def rebalancing_weights(prior: Tensor, uniform_share: float) -> Tensor:
    """Compute the weight of each bin, proportional to 1 / ((1 - lambda) p + lambda / Q).

    Q is the number of bins. lambda mixes the prior with the uniform distribution, so that the
    weight of a bin that never occurs is finite.

    Args:
        prior: p, the share of each bin in the training images, (Q,).
        uniform_share: lambda. With 1, all bins have the same weight.

    Returns:
        Weights whose mean under the prior is 1, (Q,).
    """
    weights = 1 / ((1 - uniform_share) * prior + uniform_share / len(prior))
    return weights / (prior * weights).sum()


def build(config: Config, colors: Tensor, vgg: Mapping[str, Tensor]) -> ColorClassification:
    """Build the loss, with weights from the counted colors. `vgg` is not used."""
    encode = bins.SoftEncoding(config.neighbors, config.sigma)
    return ColorClassification(
        encode, rebalancing_weights(color_prior(colors, encode), config.uniform_share)
    )


def _flatten_pixels(maps: Tensor) -> Tensor:
    """Reshape (B, C, h, w) to (B * h * w, C).

    The bins of a pixel are then adjacent in memory, which makes torch's softmax three times faster
    on a CPU.
    """
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
