"""The network of Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016, appendix, table of layers).

As in the authors' PyTorch release: conv1 to conv7 with BatchNorm after each, conv8 without, a layer with one channel per
quantised colour, softmax, a 1x1 convolution to ab, 4x bilinear upsampling. 32.2 M parameters with 313 colours.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

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
SMALL = 4 * 4  # pixels of a map


def build(colours: int) -> Colorizer:
    """The network with `colours` quantised ab colours (313 in the paper), not pretrained.

    The 1x1 convolution that turns the softmax into ab starts as what it stands for in the paper: a column a colour.
    """
    blocks: list[nn.Module] = []
    before = 1
    for channels, count, dilation, stride in BLOCKS:
        layers: list[nn.Module] = []
        for number in range(1, count + 1):
            if stride > 1 and number == count:
                layers.append(nn.Conv2d(before, channels, 3, stride, padding=1))
            else:
                layers.append(Convolution(before, channels, dilation))
            layers.append(nn.ReLU(inplace=True))
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


class Convolution(nn.Conv2d):
    """`nn.Conv2d` for 3x3 kernels that keep a map's size; on a CPU, quicker where maps are small or the kernel dilated.

    There oneDNN, which computes torch's convolutions, is slow at one thing, the gradient of the weights: for 512 channels at
    4x4, dilation 2, in bfloat16, it takes 65 ms, where the product of the output's gradient and the patches under it takes
    14. At 8x8 oneDNN is the faster one.
    """

    def __init__(self, before: int, after: int, dilation: int = 1) -> None:
        super().__init__(before, after, kernel_size=3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, H, W)."""
        small = x.shape[-2] * x.shape[-1] <= SMALL or self.dilation[0] > 1
        if x.device.type != "cpu" or not small or not torch.is_grad_enabled():
            return super().forward(x)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        return _Product.apply(x, weight, self.dilation[0]) + bias[:, None, None]


class _Product(torch.autograd.Function):
    """The convolution without its bias; backward, the weights' gradient is one matrix product."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return F.conv2d(x, weight, padding=dilation, dilation=dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        (after, before), step = weight.shape[:2], [ctx.dilation] * 2
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, _, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [1, 1], step, step, False, [0, 0], 1, [True, False, False]
        )
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, after)  # (B * H * W, after)
        product = rows.T @ _patches(x, ctx.dilation)  # (after, 9 * before)
        return of_x, product.view(after, 3, 3, before).permute(0, 3, 1, 2), None


def _patches(x: Tensor, dilation: int) -> Tensor:
    """What the kernel sees at each pixel of x (B, C, H, W), zeros beyond the border: (B * H * W, 9 * C)."""
    batch, channels, height, width = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, dilation, dilation, dilation, dilation))
    image, row, pixel, channel = padded.stride()
    windows = padded.as_strided(
        (batch, height, width, 3, 3, channels), (image, row, pixel, row * dilation, pixel * dilation, channel)
    )
    return windows.reshape(batch * height * width, 9 * channels)
