"""What every loss is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A scalar of a batch, with a gradient to the prediction. `metadata`, where it has any, goes into every result."""

    metadata: Mapping[str, str] = {}

    @abstractmethod
    def forward(self, predicted_ab: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare a prediction with the true image.

        Args:
            predicted_ab: in Lab units, (B, 2, H, W).
            lab: the true image in Lab, (B, 3, H, W).
            rgb: the true image in sRGB, 0..1, (B, 3, H, W).

        Returns:
            The mean over the batch, a scalar.
        """
