"""The network of Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016, appendix, table of layers).

As in the authors' PyTorch release: conv1 to conv7 with BatchNorm after each, conv8 without, a layer with one channel per
quantised colour, softmax, a 1x1 convolution to ab, 4x bilinear upsampling. 32.2 M parameters with 313 colours.
"""

import math

import torch
from torch import Tensor, nn

from colorpipe import color
from colorpipe.models.colorizer import Colorizer

# Convolutions 3x3: channels, how many, dilation, stride of the last.
BLOCKS = (
    (64, 2, 1, 2),
    (128, 2, 1, 2),
    (256, 3, 1, 2),
    (512, 3, 1, 1),
    (512, 3, 2, 1),
    (512, 3, 2, 1),
    (512, 3, 1, 1),
)


def build(colours: int) -> Colorizer:
    """The network with `colours` quantised ab colours (313 in the paper), not pretrained.

    The 1x1 convolution that turns the softmax into ab starts as what it stands for in the paper: a column a colour.
    """
    blocks: list[nn.Module] = []
    before = 1
    for channels, count, dilation, stride in BLOCKS:
        layers: list[nn.Module] = []
        for number in range(1, count + 1):
            step = stride if number == count else 1
            layers += [nn.Conv2d(before, channels, 3, step, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
            before = channels
        blocks.append(nn.Sequential(*layers, nn.BatchNorm2d(channels)))
    to_ab = nn.Conv2d(colours, 2, 1, bias=False)
    with torch.no_grad():
        to_ab.weight.copy_(color.normalize_ab(quantised_colours(colours)).T[:, :, None, None])
    decoder = nn.Sequential(
        nn.ConvTranspose2d(512, 256, kernel_size=4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, colours, 1),
        nn.Softmax(dim=1),
        to_ab,
        nn.Upsample(scale_factor=4, mode="bilinear"),
    )
    return Colorizer(nn.Sequential(*blocks), decoder, channels=512, stride=8)


def quantised_colours(count: int) -> Tensor:
    """(count, 2) ab colours: the points nearest to gray on a grid of 10 Lab units, the paper's quantisation."""
    reach = 10 * math.ceil(math.sqrt(count))  # a disc of `count` grid points has a radius of 5.6 sqrt(count)
    axis = torch.arange(-reach, reach + 1, 10, dtype=torch.float32)
    grid = torch.cartesian_prod(axis, axis)
    return grid[grid.square().sum(dim=1).argsort(stable=True)[:count]]
