"""LPIPS (Zhang et al. 2018, version 0.1, VGG-16) between the predicted and the true image, by the lpips package.

The package brings the 1x1 heads and, under them, torchvision's VGG-16: with ImageNet weights, which `data/download.py`
fetches (`imagenet.lpips` in params.yaml), or with random ones drawn from a seed of their own
(`datasets.<name>.lpips_weights`). Distances under the two are different quantities, so `metadata` goes into every result.
"""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any

import lpips
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from colorpipe.color.lab import lab_to_rgb
from colorpipe.config import Strict
from colorpipe.losses.loss import Loss
from colorpipe.runtime.errors import UserError


class Config(Strict):
    """The seed of the random VGG-16."""

    random_seed: Annotated[int, Field(ge=0, lt=2**32)]


class LPIPS(Loss):
    """The distance averaged over images, a scalar; 0 for equal images. Nothing in it is trained."""

    def __init__(self, seed: int, metadata: Mapping[str, str]) -> None:
        super().__init__()
        self.metadata = metadata
        with (
            torch.random.fork_rng(devices=[]),
            warnings.catch_warnings(action="ignore"),
        ):  # torchvision deprecates `pretrained`
            torch.manual_seed(seed)
            self.package = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
        self.package.lins = nn.ModuleList(
            Float32Head(layer.model[-1]) for layer in self.package.lins
        )
        for number, head in enumerate(self.package.lins):
            setattr(
                self.package, f"lin{number}", head
            )  # the same layer under the package's second name
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, predicted: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Predicted ab (B, 2, H, W) on the true L against the true image, given as Lab and as sRGB in 0..1.

        The prediction is rendered without clipping, so that colors outside the gamut still have a gradient.
        """
        return self.distance(lab_to_rgb(torch.cat((lab[:, :1], predicted), dim=1)), rgb).mean()

    def distance(self, rgb: Tensor, reference: Tensor) -> Tensor:
        """The distance (B,) of two batches of sRGB images (B, 3, H, W) in 0..1, H and W at least 16."""
        images = (image.contiguous(memory_format=torch.channels_last) for image in (rgb, reference))
        distance: Tensor = self.package(*images, normalize=True)  # (B, 1, 1, 1)
        return distance.flatten()


class Float32Head(nn.Module):
    """One of the package's 1x1 heads without its dropout, in float32 under autocast too."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer(
            "weight", convolution.weight.detach()
        )  # a buffer: `cast_frozen` leaves it in float32

    def forward(self, x: Tensor) -> Tensor:
        """Squared differences (B, C, H, W) to their weighted sum (B, 1, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.to(self.weight.dtype), self.weight)


def build(init: Mapping[str, Tensor], metadata: Mapping[str, Any], prior: Tensor) -> LPIPS:
    """LPIPS on the given VGG-16 features (ImageNet's), or without any on random ones drawn from metadata["random_seed"].

    Raises UserError where the weights are those of another network.
    """
    loss = LPIPS(int(metadata["random_seed"]), {"lpips_weights": str(metadata["weights"])})
    if init:
        for module in (
            loss.package.net.children()
        ):  # the five slices, whose layers keep torchvision's numbers
            _load_imagenet(module, init)
    return loss


def _load_imagenet(features: nn.Module, weights: Mapping[str, Tensor]) -> None:
    expected = {name: tensor.shape for name, tensor in features.state_dict().items()}
    for name, shape in expected.items():
        if name not in weights or weights[name].shape != shape:
            raise UserError(
                f"imagenet.lpips.source: {name} is missing or has a shape other than {tuple(shape)}: it holds another model"
            )
    features.load_state_dict({name: weights[name] for name in expected})
