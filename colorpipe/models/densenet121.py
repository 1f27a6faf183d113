"""A colorizer on DenseNet-121 (Huang et al. 2017, table 1), with the decoder of the ResNet one.

The network is cut after the named dense block, and closed by the BatchNorm and the ReLU that come next in it (a dense
block's output is a concatenation that nothing has normalised yet). Layers are called as torchvision calls them, whose
ImageNet weights fit; torchvision itself takes longer to import than torch.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from colorpipe.models.colorizer import Colorizer, decoder

CUTS = {
    "denseblock1": (256, 4),
    "denseblock2": (512, 8),
    "denseblock3": (1024, 16),
    "denseblock4": (1024, 32),
}  # channels, stride
LAYERS = (6, 12, 24, 16)  # of each block
GROWTH = 32  # channels that a layer adds
BOTTLENECK = 4 * GROWTH


def build(cut: str) -> Colorizer:
    """DenseNet-121 up to and including `cut` (one of CUTS), with torchvision's layer names and initial weights."""
    layers: dict[str, nn.Module] = {
        "conv0": nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False),
        "norm0": nn.BatchNorm2d(64),
        "relu0": nn.ReLU(inplace=True),
        "pool0": nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    }
    channels = 64
    for number, (block, count) in enumerate(zip(CUTS, LAYERS, strict=True), start=1):
        layers[block] = nn.Sequential(
            OrderedDict((f"denselayer{layer + 1}", Layer(channels + layer * GROWTH)) for layer in range(count))
        )
        channels += count * GROWTH
        if block == "denseblock4":
            layers.update(norm5=nn.BatchNorm2d(channels), relu5=nn.ReLU(inplace=True))
            break
        closing: dict[str, nn.Module] = {"norm": nn.BatchNorm2d(channels), "relu": nn.ReLU(inplace=True)}
        if block != cut:
            closing.update(conv=nn.Conv2d(channels, channels // 2, kernel_size=1, bias=False), pool=nn.AvgPool2d(2))
        layers[f"transition{number}"] = nn.Sequential(OrderedDict(closing))
        channels //= 2
        if block == cut:
            break
    encoder = nn.Sequential(OrderedDict(layers))
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    channels, stride = CUTS[cut]
    return Colorizer(encoder, decoder(channels, stride), channels=channels, stride=stride)


class Layer(nn.Module):
    """A 1x1 and a 3x3 convolution, each after BatchNorm and ReLU, whose output is appended to the input's channels."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(before, BOTTLENECK, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, before + GROWTH, H, W)."""
        bottleneck = self.conv1(self.relu1(self.norm1(x)))
        return torch.cat((x, self.conv2(self.relu2(self.norm2(bottleneck)))), dim=1)
