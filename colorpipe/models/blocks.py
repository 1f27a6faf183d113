"""Layers that several colorizers share: torchvision encoders for gray images, decoders, heads.

The layers of an encoder keep torchvision's names, so that torchvision's ImageNet weights fit.
"""

from collections import OrderedDict

from torch import nn

from colorpipe.color import bins

OUTPUT_CHANNELS = {"ab": 2, "bins": bins.COUNT}  # by head
DECODER_WIDTHS = (128, 64, 64, 32)  # output channels of all convolutions but the last
# For each stride of the encoder, the convolutions (1 to 5) that are followed by 2x upsampling.
UPSAMPLED_AFTER = {4: (3, 5), 8: (1, 3, 5), 16: (1, 2, 3, 5), 32: (1, 2, 3, 4, 5)}


def cut_after(network: nn.Module, last: str, **replaced: nn.Module) -> nn.Sequential:
    """Return the children of `network` up to and including `last`, under the same names.

    Args:
        network: A network whose children run one after the other.
        last: The name of the last child to keep.
        replaced: Modules to use instead of the children of the same names.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in network.named_children():
        layers[name] = replaced.get(name, child)
        if name == last:
            break
    return nn.Sequential(layers)


def one_channel(convolution: nn.Conv2d) -> nn.Conv2d:
    """Reduce a first convolution from RGB to one channel, in place, by summing its weights.

    The output for a gray image equals the original output for R = G = B.
    """
    convolution.in_channels = 1
    convolution.weight = nn.Parameter(convolution.weight.detach().sum(dim=1, keepdim=True))
    return convolution


def melas_decoder(channels: int, stride: int, head: str) -> nn.Sequential:
    """Build the decoder of Luke Melas' colorization network: five 3x3 convolutions.

    All convolutions but the last are followed by BatchNorm and ReLU. At stride 8, there is a 2x
    nearest-neighbor upsampling after the first, the third and the fifth convolution, as in Melas'
    code. At other strides, one upsampling is added or left out per factor of 2.

    Args:
        channels: Channels of the encoder's features.
        stride: Stride of the encoder's features: 4, 8, 16 or 32.
        head: "ab" or "bins".

    Returns:
        A module from (B, channels, H / stride, W / stride) to (B, 2, H, W), or with the head "bins"
        to (B, 313, H / 2, W / 2).
    """
    layers: list[nn.Module] = []
    before = channels
    for number, width in enumerate((*DECODER_WIDTHS, OUTPUT_CHANNELS[head]), start=1):
        last = number > len(DECODER_WIDTHS)
        layers.append(nn.Conv2d(before, width, 3, padding=1, bias=last))
        if not last:
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        if number in UPSAMPLED_AFTER[stride] and not (last and head == "bins"):
            layers.append(nn.Upsample(scale_factor=2))
        before = width
    return nn.Sequential(*layers)


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
) -> nn.Sequential:
    """Build a convolution, followed by BatchNorm and ReLU."""
    padding = (kernel_size - stride + 1) // 2
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=padding, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def zero_head(channels: int, head: str, upscale_factor: int) -> nn.Conv2d:
    """Build the last convolution of a U-Net, with weights of zero.

    Training starts from gray, or from uniform logits.

    Args:
        channels: Channels of the input.
        head: "ab" for a 3x3 convolution, or "bins" for a 1x1 convolution.
        upscale_factor: Factor of the pixel_shuffle that follows, or 1.
    """
    size = 3 if head == "ab" else 1
    convolution = nn.Conv2d(
        channels, OUTPUT_CHANNELS[head] * upscale_factor**2, size, padding=size // 2
    )
    nn.init.zeros_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution
