"""A colorizer on ResNet-18 (He et al. 2016, table 1), after Luke Melas' colorization network."""

from typing import Literal

from torchvision.models import resnet18

from colorpipe.config import Strict
from colorpipe.models.blocks import cut_after, melas_decoder, one_channel
from colorpipe.models.colorizer import Colorizer

CUTS = {  # channels and stride
    "layer1": (64, 4),
    "layer2": (128, 8),
    "layer3": (256, 16),
    "layer4": (512, 32),
}


class Config(Strict):
    """The last layer of the encoder."""

    cut: Literal["layer1", "layer2", "layer3", "layer4"]


def build(config: Config, head: str) -> Colorizer:
    """Build torchvision's ResNet-18 for one channel, cut after a layer, with Melas' decoder."""
    network = resnet18()
    encoder = cut_after(network, config.cut, conv1=one_channel(network.conv1))
    channels, stride = CUTS[config.cut]
    decoder = melas_decoder(channels, stride, head)
    return Colorizer(encoder, decoder, channels=channels, stride=stride, head=head, logits_stride=2)
