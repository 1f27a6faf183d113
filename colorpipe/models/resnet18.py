"""A colorizer on torchvision's ResNet-18 (He et al. 2016, table 1), after Luke Melas' colorization network.

The first convolution takes one channel; the network is cut after the named layer, and five convolutions decode.
"""

from collections import OrderedDict

from torch import nn
from torchvision.models import resnet18

from colorpipe.models.colorizer import Colorizer, decoder

CUTS = {"layer1": (64, 4), "layer2": (128, 8), "layer3": (256, 16), "layer4": (512, 32)}  # channels, stride


def build(cut: str) -> Colorizer:
    """ResNet-18 up to and including `cut` (one of CUTS), with torchvision's layer names."""
    layers = OrderedDict(resnet18().named_children())
    layers["conv1"] = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(layers["conv1"].weight, mode="fan_out", nonlinearity="relu")
    names = list(layers)
    encoder = nn.Sequential(OrderedDict((name, layers[name]) for name in names[: names.index(cut) + 1]))
    channels, stride = CUTS[cut]
    return Colorizer(encoder, decoder(channels, stride), channels=channels, stride=stride)
