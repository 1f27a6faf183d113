"""Mean squared error of ab, in squared Lab units: the report's loss."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class MSE(nn.Module):
    """The mean over pixels, channels and images, a scalar."""

    identity: Mapping[str, str] = {}  # nothing was loaded: the name says all

    def forward(self, predicted_ab: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Predicted ab (B, 2, H, W) against the true image as Lab (B, 3, H, W); `rgb` is not looked at."""
        return F.mse_loss(predicted_ab, lab[:, 1:])


def build(weights: Mapping[str, Tensor], made_of: Mapping[str, object]) -> MSE:
    """There is nothing to load: both arguments are empty."""
    return MSE()
