"""Mean absolute error of ab, in Lab units."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from colorpipe.config import Strict
from colorpipe.losses.loss import Loss


class Config(Strict):
    """No settings."""


class L1(Loss):
    """The mean over pixels, channels and images, a scalar."""

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Predicted ab (B, 2, H, W) against the true image as Lab (B, 3, H, W); `rgb` is ignored."""
        return F.l1_loss(predicted, lab[:, 1:])


def build(init: Mapping[str, Tensor], metadata: Mapping[str, Any], prior: Tensor) -> L1:
    """The loss; it has nothing to load."""
    return L1()
