"""The interface of losses, and the function that loads one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from colorpipe import config, files, weights
from colorpipe.config import Params
from colorpipe.data import arrays


class Loss(nn.Module, ABC):
    """A differentiable loss over a batch, a scalar.

    Attributes:
        head: Output that a colorizer's decoder needs for this loss: "ab", or "bins" for logits
            over the 313 color bins.
        metadata: Facts about the loss that are written into every result.
    """

    head = "ab"
    metadata: Mapping[str, str] = {}

    @property
    def bin_weights(self) -> Tensor | None:
        """Weights (313,) that multiply the loss of a pixel by its color bin, or None."""
        return None

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


def load_loss(name: str, data: str, params: Params, device: torch.device) -> Loss:
    """Build a loss from its section of params.yaml.

    Args:
        name: A module of colorpipe/losses. Its `build(config, colors, vgg)` gets its section, the
            counted colors of the training images (K, 3), and the weights of a VGG-16, which are
            empty unless the loss is LPIPS on ImageNet weights.
        data: The data set whose colors and weights are used.
        params: All settings.
        device: The device of the loss.

    Raises:
        UserError: A setting is wrong, or a file is missing or damaged.
    """
    module = config.load_plugin("losses", name)
    where = f"params.yaml: losses.{name}"
    section = config.validate_section(module.Config, params.loss_settings(name), where)
    colors = arrays.load_array(files.colors_path(data), torch.device("cpu"))
    vgg, _ = weights.load(files.start_path(data, name))
    loss: Loss = module.build(section, colors, vgg)
    return loss.to(device)
