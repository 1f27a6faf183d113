"""Mean squared error of ab in squared Lab units: the paper's loss."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from colorpipe.config import Strict
from colorpipe.losses.loss import Loss


class Config(Strict):
    """No settings."""


class MSE(Loss):
    """The mean squared error over pixels, channels and images."""

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare ab (B, 2, H, W) with Lab images (B, 3, H, W). `rgb` is ignored."""
        return F.mse_loss(predicted, lab[:, 1:])


def build(config: Config, colors: Tensor, vgg: Mapping[str, Tensor]) -> MSE:
    """Build the loss. No argument is used."""
    return MSE()
