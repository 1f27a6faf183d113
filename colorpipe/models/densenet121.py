"""A colorizer on DenseNet-121 (Huang et al. 2017, table 1), with the decoder of the ResNet one.

The encoder is cut after a dense block and closed by the BatchNorm and the ReLU that come next in the network: a dense
block's output is a concatenation that nothing has normalized yet.
"""

from typing import Literal

from torch import nn
from torchvision.models import densenet121

from colorpipe.config import Strict
from colorpipe.models.blocks import cut_after, melas_decoder, one_channel
from colorpipe.models.colorizer import Colorizer

CUTS = {  # channels, stride, the layer that closes the encoder
    "denseblock1": (256, 4, "transition1"),
    "denseblock2": (512, 8, "transition2"),
    "denseblock3": (1024, 16, "transition3"),
    "denseblock4": (1024, 32, "norm5"),
}


class Config(Strict):
    """The last dense block of the encoder."""

    cut: Literal["denseblock1", "denseblock2", "denseblock3", "denseblock4"]


def build(config: Config, head: str) -> Colorizer:
    """torchvision's DenseNet-121 for one channel, cut after a dense block, with the Melas decoder."""
    channels, stride, closing = CUTS[config.cut]
    network = densenet121().features
    replaced: dict[str, nn.Module] = {"conv0": one_channel(network.conv0)}
    if closing != "norm5":
        replaced[closing] = cut_after(
            network.get_submodule(closing), "relu"
        )  # without its convolution and pooling
    encoder = cut_after(network, closing, **replaced)
    if closing == "norm5":
        encoder.add_module("relu5", nn.ReLU(inplace=True))
    return Colorizer(
        encoder,
        melas_decoder(channels, stride, head),
        channels=channels,
        stride=stride,
        head=head,
        scale=2,
    )
