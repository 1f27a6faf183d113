"""What every loss is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A scalar of a batch, with a gradient to the prediction.

    `head` is what it compares, and so what its colorizers' decoder gives: "ab", or "bins", logits over the 313 ab bins.
    `metadata`, where it has any, goes into every result.
    """

    head = "ab"
    metadata: Mapping[str, str] = {}

    @abstractmethod
    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare a prediction with the true image.

        Args:
            predicted: ab in Lab units, (B, 2, H, W); of the head "bins" logits (B, 313, h, w).
            lab: the true image in Lab, (B, 3, H, W).
            rgb: the true image in sRGB, 0..1, (B, 3, H, W).

        Returns:
            The mean over the batch, a scalar.
        """
