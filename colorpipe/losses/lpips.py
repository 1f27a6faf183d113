"""LPIPS (Zhang et al. 2018, version 0.1, VGG-16) between the predicted and the true image.

The lpips package contains the weights of the linear layers. The weights of the VGG-16 below them
depend on `datasets.<name>.lpips_weights`. They are ImageNet weights, which the download stage
fetches, or random weights drawn from the seed `losses.lpips.random_seed`. Distances with the two
kinds of weights cannot be compared, so every result states the kind.
"""

import warnings
from collections.abc import Mapping
from typing import Annotated

import lpips
import torch
from pydantic import Field
from torch import Tensor

from colorpipe.color.lab import lab_to_rgb
from colorpipe.config import Strict
from colorpipe.losses.loss import Loss
from colorpipe.models.loading import load_imagenet

CHUNK = 16  # images


class Config(Strict):
    """Seed of the random VGG-16."""

    random_seed: Annotated[int, Field(ge=0, lt=2**32)]


class LPIPS(Loss):
    """The LPIPS distance, averaged over images. Nothing in it is trained.

    Args:
        seed: Seed of the random VGG-16.
        vgg_weights: "random" or "imagenet".
    """

    def __init__(self, seed: int, vgg_weights: str) -> None:
        super().__init__()
        self.metadata = {"lpips_weights": vgg_weights}
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            torch.manual_seed(seed)
            self.network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Compare ab (B, 2, H, W) on the true L with the true images.

        The prediction is rendered without clipping, so that colors outside the sRGB gamut have a
        gradient.
        """
        rendered = lab_to_rgb(torch.cat((lab[:, :1], predicted), dim=1))
        # Under autocast the distances are bfloat16, too coarse for a mean that selects an epoch.
        return self.distance(rendered, rgb).mean(dtype=torch.float32)

    def distance(self, rgb: Tensor, reference: Tensor) -> Tensor:
        """Compute the distance (B,) of sRGB images in [0, 1], (B, 3, H, W), H and W at least 16.

        Without gradients, VGG-16 gets 16 images at a time, so that large images fit into memory.
        """
        size = len(rgb) if torch.is_grad_enabled() else CHUNK
        pairs = zip(rgb.split(size), reference.split(size), strict=True)
        return torch.cat([self._distance(*pair) for pair in pairs])

    def _distance(self, *images: Tensor) -> Tensor:
        channels_last = (part.contiguous(memory_format=torch.channels_last) for part in images)
        distance: Tensor = self.network(*channels_last, normalize=True)  # (B, 1, 1, 1)
        return distance.flatten()


def build(config: Config, colors: Tensor, vgg: Mapping[str, Tensor]) -> LPIPS:
    """Build the loss on a VGG-16 with the given weights, or on a random one if there are none.

    Args:
        config: The section of params.yaml.
        colors: Not used.
        vgg: Weights of VGG-16's convolutions under torchvision's names, or no weights.

    Raises:
        UserError: The weights are those of another network.
    """
    loss = LPIPS(config.random_seed, "imagenet" if vgg else "random")
    if vgg:
        # The package splits VGG-16 into five slices that keep torchvision's layer numbers.
        for part in loss.network.net.children():
            load_imagenet(part, vgg, "lpips")
    return loss
