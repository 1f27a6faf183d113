"""A colorizer on ResNet-18 (He et al. 2016, table 1), after Luke Melas' colorization network.

The first convolution takes one channel; the network is cut after the named layer, and five convolutions decode. Layers are
called as torchvision calls them, whose ImageNet weights fit; torchvision itself takes longer to import than torch.
"""

from collections import OrderedDict

from torch import Tensor, nn

from colorpipe.models.colorizer import Colorizer, decoder

CUTS = {"layer1": (64, 4), "layer2": (128, 8), "layer3": (256, 16), "layer4": (512, 32)}  # channels, stride
BLOCKS = 2  # a layer


def build(cut: str) -> Colorizer:
    """ResNet-18 up to and including `cut` (one of CUTS), with torchvision's layer names and initial weights."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False),
        "bn1": nn.BatchNorm2d(64),
        "relu": nn.ReLU(inplace=True),
        "maxpool": nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    }
    before = 64
    for name, (channels, _) in CUTS.items():
        first = Block(before, channels, stride=1 if name == "layer1" else 2)
        layers[name] = nn.Sequential(first, *(Block(channels, channels) for _ in range(BLOCKS - 1)))
        before = channels
        if name == cut:
            break
    encoder = nn.Sequential(OrderedDict(layers))
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    channels, stride = CUTS[cut]
    return Colorizer(encoder, decoder(channels, stride), channels=channels, stride=stride)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, before: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride > 1 or before != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)
