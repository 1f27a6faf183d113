"""A colorizer on DenseNet-121 (Huang et al. 2017, table 1), with the decoder of the ResNet.

The encoder is cut after a dense block, whose output is a concatenation that is not normalized yet.
So the encoder ends with the BatchNorm and the ReLU that follow in the network.
"""

from typing import Literal

from torch import nn
from torchvision.models import densenet121

from colorpipe.config import Strict
from colorpipe.models.blocks import cut_after, melas_decoder, one_channel
from colorpipe.models.colorizer import Colorizer

CUTS = {  # channels, stride, and the layer that ends the encoder
    "denseblock1": (256, 4, "transition1"),
    "denseblock2": (512, 8, "transition2"),
    "denseblock3": (1024, 16, "transition3"),
    "denseblock4": (1024, 32, "norm5"),
}


class Config(Strict):
    """The last dense block of the encoder."""

    cut: Literal["denseblock1", "denseblock2", "denseblock3", "denseblock4"]


def build(config: Config, head: str) -> Colorizer:
    """Build torchvision's DenseNet-121 for one channel, cut after a block, with Melas' decoder."""
    channels, stride, last = CUTS[config.cut]
    network = densenet121().features
    replaced: dict[str, nn.Module] = {"conv0": one_channel(network.conv0)}
    if last != "norm5":  # keep the transition's BatchNorm and ReLU, not its convolution and pooling
        replaced[last] = cut_after(network.get_submodule(last), "relu")
    encoder = cut_after(network, last, **replaced)
    if last == "norm5":
        encoder.add_module("relu5", nn.ReLU(inplace=True))
    decoder = melas_decoder(channels, stride, head)
    return Colorizer(encoder, decoder, channels=channels, stride=stride, head=head, logits_stride=2)
