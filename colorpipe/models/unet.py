"""A small residual U-Net (after Ronneberger et al. 2015, with the blocks of He et al. 2016).

This network is not in the paper. It answers the paper's call for "more refined models". The first
level sees 2x2 pixels as four channels, and the last layer outputs 2x2 colors at once (Shi et al.
2016). So nothing is computed at full resolution, where convolutions cost most. Skip connections
carry the features of each level to the decoder, which keeps edges sharp.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from colorpipe.config import Strict
from colorpipe.models.blocks import conv_bn_relu, zero_head
from colorpipe.models.colorizer import Colorizer

FINEST_STRIDE = 2  # stride of the first level, which sees 2x2 pixels as channels


def _one_per_width(blocks: list[int], info: ValidationInfo) -> list[int]:
    if len(blocks) != len(info.data.get("widths", blocks)):
        raise PydanticCustomError("one_per_width", "input should have as many numbers as widths")
    return blocks


class Config(Strict):
    """Channels of each level, and residual blocks of each level of the encoder."""

    widths: Annotated[list[Annotated[int, Field(ge=8, le=1024)]], Field(min_length=2, max_length=5)]
    blocks: Annotated[list[Annotated[int, Field(ge=1, le=8)]], AfterValidator(_one_per_width)]


class Block(nn.Module):
    """A residual block: ReLU(x + BatchNorm(3x3(ReLU(BatchNorm(3x3(x)))))).

    The scale of the last BatchNorm starts at zero, so that the block starts as an identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.bn2(self.conv2(y)), inplace=True)


class Encoder(nn.Module):
    """The encoder: normalized L (B, 1, H, W) to features at 1/2, 1/4, 1/8... of the resolution."""

    def __init__(self, widths: list[int], blocks: list[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        before = FINEST_STRIDE**2
        for width, count in zip(widths, blocks, strict=True):
            size, stride = (2, 2) if self.levels else (3, 1)
            enter = conv_bn_relu(before, width, size, stride)
            self.levels.append(nn.Sequential(enter, *(Block(width) for _ in range(count))))
            before = width

    def forward(self, L: Tensor) -> list[Tensor]:
        """Return the features of each level, the finest level first."""
        x = F.pixel_unshuffle(L, FINEST_STRIDE)  # (B, 4, H / 2, W / 2)
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The decoder: features to ab at full resolution, or to logits at half of it."""

    def __init__(self, widths: list[int], head: str) -> None:
        super().__init__()
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.ups.append(conv_bn_relu(coarse, fine, 1))
            self.blocks.append(nn.Sequential(conv_bn_relu(2 * fine, fine, 1), Block(fine)))
        self.upscale_factor = FINEST_STRIDE if head == "ab" else 1
        self.head = zero_head(widths[0], head, self.upscale_factor)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Decode features, the finest level first: (B, widths[0], H / 2, W / 2) and so on."""
        x = features[-1]
        for up, blocks, skip in zip(self.ups, self.blocks, features[-2::-1], strict=True):
            x = blocks(torch.cat((F.interpolate(up(x), scale_factor=2), skip), dim=1))
        output = self.head(x)  # with a factor of 1, pixel_shuffle would copy the logits slowly
        return F.pixel_shuffle(output, self.upscale_factor) if self.upscale_factor > 1 else output


def build(config: Config, head: str) -> Colorizer:
    """Build the network. With the default widths, it has 2.4 M parameters."""
    return Colorizer(
        Encoder(config.widths, config.blocks),
        Decoder(config.widths, head),
        channels=config.widths[-1],
        stride=FINEST_STRIDE * 2 ** (len(config.widths) - 1),
        head=head,
        logits_stride=FINEST_STRIDE,
    )
