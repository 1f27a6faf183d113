"""A small residual U-Net (after Ronneberger et al. 2015, with the blocks of He et al. 2016).

Not the paper's: its answer to "more refined models". The first level works at half the resolution on 2x2 pixels as four
channels, and the last one gives 2x2 colors at once (Shi et al. 2016), so nothing is computed at full resolution, where
convolutions cost most; skips carry each level's features over, so edges stay sharp.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from colorpipe.config import Strict
from colorpipe.models.blocks import OUTPUT_CHANNELS
from colorpipe.models.colorizer import Colorizer

FOLD = 2  # pixels a side that the first level sees as channels


def _one_for_each(blocks: list[int], info: ValidationInfo) -> list[int]:
    if len(blocks) != len(info.data.get("widths", blocks)):
        raise PydanticCustomError("one_for_each", "should have as many numbers as widths")
    return blocks


class Config(Strict):
    """Channels of each level, and its residual blocks in the encoder."""

    widths: Annotated[list[Annotated[int, Field(ge=8, le=1024)]], Field(min_length=2, max_length=5)]
    blocks: Annotated[list[Annotated[int, Field(ge=1, le=8)]], AfterValidator(_one_for_each)]


class Block(nn.Module):
    """ReLU(x + BatchNorm(3x3(ReLU(BatchNorm(3x3(x)))))); the last scale starts at zero, so that the block is an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.bn2(self.conv2(y)), inplace=True)


def joint(before: int, width: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution to another width, with BatchNorm and ReLU."""
    convolution = nn.Conv2d(
        before, width, size, stride, padding=(size - stride + 1) // 2, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class Encoder(nn.Module):
    """Normalized L (B, 1, H, W) to the features of each level, at 1/2, 1/4, 1/8... of the resolution."""

    def __init__(self, widths: list[int], blocks: list[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        before = FOLD**2
        for width, count in zip(widths, blocks, strict=True):
            enter = joint(before, width, 2, 2) if self.levels else joint(before, width, 3)
            self.levels.append(nn.Sequential(enter, *(Block(width) for _ in range(count))))
            before = width

    def forward(self, L: Tensor) -> list[Tensor]:
        """The finest level first."""
        x = F.pixel_unshuffle(L, FOLD)  # (B, 4, H / 2, W / 2)
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The encoder's features to ab at full resolution, or to logits over the bins at half of it."""

    def __init__(self, widths: list[int], head: str) -> None:
        super().__init__()
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.ups.append(joint(coarse, fine, 1))
            self.blocks.append(nn.Sequential(joint(2 * fine, fine, 1), Block(fine)))
        self.fold = FOLD if head == "ab" else 1
        self.head = nn.Conv2d(
            widths[0],
            OUTPUT_CHANNELS[head] * self.fold**2,
            3 if head == "ab" else 1,
            padding=int(head == "ab"),
        )
        nn.init.zeros_(self.head.weight)  # training starts from gray, or from all bins alike
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The finest level first: (B, widths[0], H / 2, W / 2) and so on."""
        x = features[-1]
        for up, blocks, skip in zip(self.ups, self.blocks, features[-2::-1], strict=True):
            x = blocks(torch.cat((F.interpolate(up(x), scale_factor=2), skip), dim=1))
        return F.pixel_shuffle(self.head(x), self.fold)


def build(config: Config, head: str) -> Colorizer:
    """The network, at its default widths 2.4 M parameters."""
    encoder, decoder = Encoder(config.widths, config.blocks), Decoder(config.widths, head)
    stride = FOLD * 2 ** (len(config.widths) - 1)
    return Colorizer(
        encoder, decoder, channels=config.widths[-1], stride=stride, head=head, scale=FOLD
    )
