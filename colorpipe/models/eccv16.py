"""The network of Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016, appendix, table of layers).

As in the authors' PyTorch release: conv1 to conv7 with BatchNorm after each, conv8 without, a layer with one channel per
ab bin, softmax, a 1x1 convolution to ab, 4x bilinear upsampling. 32.2 M parameters, not pretrained.
"""

import torch
from torch import nn

from colorpipe.color import bins, lab
from colorpipe.config import Strict
from colorpipe.models.colorizer import Colorizer

# 3x3 convolutions: channels, how many, dilation, stride of the last.
BLOCKS = (
    (64, 2, 1, 2),
    (128, 2, 1, 2),
    (256, 3, 1, 2),
    (512, 3, 1, 1),
    (512, 3, 2, 1),
    (512, 3, 2, 1),
    (512, 3, 1, 1),
)


class Config(Strict):
    """No settings: the paper's table fixes all."""


def build(config: Config, head: str) -> Colorizer:
    """The network.

    With the head "ab", as the 2023 paper trains it: its 1x1 convolution from the softmax to ab is initialized with the bins'
    colors. With "bins", as Zhang et al. train it: it ends with the logits.
    """
    blocks: list[nn.Module] = []
    before = 1
    for channels, count, dilation, stride in BLOCKS:
        layers: list[nn.Module] = []
        for number in range(1, count + 1):
            step = stride if number == count else 1
            layers += [
                nn.Conv2d(before, channels, 3, step, padding=dilation, dilation=dilation),
                nn.ReLU(inplace=True),
            ]
            before = channels
        blocks.append(nn.Sequential(*layers, nn.BatchNorm2d(channels)))
    to_ab = nn.Conv2d(bins.COUNT, 2, 1, bias=False)
    with torch.no_grad():
        to_ab.weight.copy_(lab.normalize_ab(bins.centers()).T[:, :, None, None])
    decoder = [
        nn.ConvTranspose2d(512, 256, kernel_size=4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, bins.COUNT, 1),
    ]
    if head == "ab":
        decoder += [nn.Softmax(dim=1), to_ab, nn.Upsample(scale_factor=4, mode="bilinear")]
    return Colorizer(
        nn.Sequential(*blocks), nn.Sequential(*decoder), channels=512, stride=8, head=head, scale=4
    )
