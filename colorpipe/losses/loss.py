"""The interface of all losses."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A loss of a batch: a scalar with a gradient to the prediction.

    Attributes:
        head: What the loss compares, and so what a colorizer's decoder has to output: "ab", or
            "bins" for logits over the 313 color bins.
        metadata: Facts about the loss that are written into every result.
    """

    head = "ab"
    metadata: Mapping[str, str] = {}

    @abstractmethod
    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare a prediction with the true image.

        Args:
            predicted: ab in Lab units, (B, 2, H, W). With the head "bins", logits (B, 313, h, w).
            lab: The true image in Lab, (B, 3, H, W).
            rgb: The true image as sRGB in [0, 1], (B, 3, H, W).

        Returns:
            The mean over the batch, a scalar.
        """
