"""A U-Net on an ImageNet classifier of timm (Wightman 2019), whose weights it can start from.

The encoder is any convolutional network of timm with feature maps at several strides. Its input is
the gray image in sRGB, repeated in three channels and normalized as in the encoder's ImageNet
training. The decoder upsamples step by step to half of the resolution and takes in
each feature map on the way. The last layer outputs 2x2 colors at once, as in unet.py.
"""

import copy
import itertools
from collections.abc import Mapping
from typing import Annotated

import timm
import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from timm.layers import Conv2dSame
from torch import Tensor, nn

from colorpipe.color import lab
from colorpipe.config import Strict
from colorpipe.models.blocks import conv_bn_relu, zero_head
from colorpipe.models.colorizer import Colorizer
from colorpipe.runtime.errors import UserError, one_line

FINEST_STRIDE = 2  # stride of the last level of the decoder


def _check_name(name: str) -> str:
    try:
        is_known = timm.is_model(name) and timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # a wrong tag, such as resnet18.none
        is_known = False
    if not is_known:
        raise PydanticCustomError("unknown_to_timm", "input should be the name of a model in timm")
    return name


class Config(Strict):
    """The encoder's name in timm, and the channels of the decoder's levels, coarsest first."""

    encoder: Annotated[str, AfterValidator(_check_name)]
    widths: Annotated[list[Annotated[int, Field(ge=8, le=1024)]], Field(min_length=1, max_length=6)]


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding, for sides that are multiples of its stride.

    For such sides, the padding is constant. timm computes it from the input size, which makes
    torch's export with dynamic shapes take many minutes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pad and convolve."""
        padding: list[int] = []
        for size, stride in zip(self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max(size - stride, 0)
            padding += (total // 2, total - total // 2)
        output: Tensor = self._conv_forward(F.pad(x, padding), self.weight, self.bias)
        return output


class Encoder(nn.Module):
    """The encoder: normalized L (B, 1, H, W) to timm's feature maps, the finest map first.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = timm.create_model(name, features_only=True)  # not pretrained
        for module in self.network.modules():
            if isinstance(module, Conv2dSame):
                module.__class__ = SameConv2d
        pretraining = timm.get_pretrained_cfg(name)
        self.mean, self.std = pretraining.mean, pretraining.std
        info = self.network.feature_info
        strides, channels = info.reduction(), info.channels()
        # A VGG has a map at stride 1, which the decoder does not use.
        self.first = sum(stride < FINEST_STRIDE for stride in strides)
        self.strides, self.channels = strides[self.first :], channels[self.first :]
        if self.strides != [self.strides[0] * 2**n for n in range(len(self.strides))]:
            raise UserError(
                f"models.timm_unet.encoder: {name} has feature maps at the strides {strides}, but "
                "each stride should be twice the one before: use a convolutional network"
            )
        self._check_maps(name)
        if dict(self.named_buffers()).keys() - self.state_dict().keys():
            raise UserError(
                f"models.timm_unet.encoder: {name} has buffers that weight files do not hold: use "
                "another convolutional network"
            )

    def _check_maps(self, name: str) -> None:
        """Raise UserError unless the feature maps have the shapes that timm states."""
        side = 2 * self.strides[-1]
        expected = [
            (2, channels, side // stride, side // stride)
            for stride, channels in zip(self.strides, self.channels, strict=True)
        ]
        try:
            image = torch.empty(2, 1, side, side, device="meta")
            maps = copy.deepcopy(self).to("meta")(image)
            fits = [tuple(features.shape) for features in maps] == expected
            reason = "the shapes differ from timm's feature_info"
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            fits, reason = False, one_line(error)
        if not fits:
            raise UserError(
                f"models.timm_unet.encoder: {name} does not fit images of {side}x{side} pixels "
                f"({reason}): use a convolutional network for images of any size"
            )

    def forward(self, L: Tensor) -> list[Tensor]:
        """Return the feature maps of each stride."""
        gray = lab.lightness_to_srgb(lab.denormalize_L(L))
        image = [(gray - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]
        features: list[Tensor] = self.network(torch.cat(image, dim=1))
        return features[self.first :]

    def rename_imagenet(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a classifier's weights under the names that this encoder uses.

        Some of timm's feature extractors turn "stem.0" into "stem_0".
        """
        renamed = {}
        for name in self.network.state_dict():
            nested = name.replace("_", ".", 1).removeprefix("features.")
            source = name if name in weights else nested
            if source in weights:
                renamed[f"network.{name}"] = weights[source]
        return renamed


class Decoder(nn.Module):
    """The decoder: feature maps to ab at full resolution, or to logits at half of it."""

    def __init__(self, channels: list[int], widths: list[int], head: str) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        *skips, before = channels
        for width, skip in itertools.zip_longest(widths, reversed(skips), fillvalue=0):
            enter = conv_bn_relu(before + skip, width, 3)
            self.levels.append(nn.Sequential(enter, conv_bn_relu(width, width, 3)))
            before = width
        self.upscale_factor = FINEST_STRIDE if head == "ab" else 1
        self.head = zero_head(before, head, self.upscale_factor)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Decode feature maps, the finest map first."""
        x = features[-1]
        # Levels that are finer than the finest feature map have none to take in.
        for level, skip in itertools.zip_longest(self.levels, features[-2::-1]):
            x = F.interpolate(x, scale_factor=2)
            x = level(x if skip is None else torch.cat((x, skip), dim=1))
        output = self.head(x)  # with a factor of 1, pixel_shuffle would copy the logits slowly
        return F.pixel_shuffle(output, self.upscale_factor) if self.upscale_factor > 1 else output


def build(config: Config, head: str) -> Colorizer:
    """Build the network. With the default settings, it has 4.2 M parameters.

    Raises:
        UserError: The encoder's feature maps do not fit, or there are not as many widths as levels.
    """
    encoder = Encoder(config.encoder)
    stride = encoder.strides[-1]
    levels = (stride // FINEST_STRIDE).bit_length() - 1
    if len(config.widths) != levels:
        raise UserError(
            f"models.timm_unet.widths: {config.encoder} has the stride {stride}, which needs "
            f"{levels} widths, got {len(config.widths)}"
        )
    return Colorizer(
        encoder,
        Decoder(encoder.channels, config.widths, head),
        channels=encoder.channels[-1],
        stride=stride,
        head=head,
        logits_stride=FINEST_STRIDE,
    )
