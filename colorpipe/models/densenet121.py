"""A colorizer on torchvision's DenseNet-121 (Huang et al. 2017, table 1), with the decoder of the ResNet one.

The network is cut after the named dense block, and closed by the BatchNorm and the ReLU that come next in it (a dense
block's output is a concatenation that nothing has normalised yet).
"""

from collections import OrderedDict

from torch import nn
from torchvision.models import densenet121

from colorpipe.models.colorizer import Colorizer, decoder

CUTS = {"denseblock1": (256, 4), "denseblock2": (512, 8), "denseblock3": (1024, 16), "denseblock4": (1024, 32)}


def build(cut: str) -> Colorizer:
    """DenseNet-121's features up to and including `cut` (one of CUTS: channels, stride), with torchvision's layer names."""
    layers = OrderedDict(densenet121().features.named_children())
    layers["conv0"] = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(layers["conv0"].weight)
    names = list(layers)
    end = names.index(cut) + 1
    kept = OrderedDict((name, layers[name]) for name in names[:end])
    closing = layers[names[end]]  # transition<n>: norm, relu, conv, pool; after the last block: norm5
    if isinstance(closing, nn.BatchNorm2d):
        kept[names[end]] = closing
        kept["relu5"] = nn.ReLU(inplace=True)
    else:
        kept[names[end]] = nn.Sequential(OrderedDict(norm=closing.norm, relu=closing.relu))
    channels, stride = CUTS[cut]
    return Colorizer(nn.Sequential(kept), decoder(channels, stride), channels=channels, stride=stride)
