"""Mean absolute error of ab in Lab units."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from colorpipe.config import Strict
from colorpipe.losses.loss import Loss


class Config(Strict):
    """No settings."""


class L1(Loss):
    """The mean absolute error over pixels, channels and images."""

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare ab (B, 2, H, W) with Lab images (B, 3, H, W). `rgb` is ignored."""
        return F.l1_loss(predicted, lab[:, 1:])


def build(config: Config, colors: Tensor, vgg: Mapping[str, Tensor]) -> L1:
    """Build the loss. No argument is used."""
    return L1()
