"""The decoder that the paper's ResNet and DenseNet colorizers share, after Luke Melas' colorization network."""

from torch import nn

from colorpipe.color import bins

OUTPUTS = {"ab": 2, "bins": bins.COUNT}  # channels, by head
WIDTHS = (128, 64, 64, 32)  # output channels of the convolutions before the last
UPSAMPLED_AFTER = {4: (3, 5), 8: (1, 3, 5), 16: (1, 2, 3, 5), 32: (1, 2, 3, 4, 5)}  # by stride: convolutions 1..5


def melas_decoder(channels: int, stride: int, head: str = "ab") -> nn.Sequential:
    """Five 3x3 convolutions from (B, channels, H / stride, W / stride) to (B, 2, H, W).

    All but the last are followed by BatchNorm and ReLU. One nearest-neighbor 2x upsampling per halving: at stride 8 after
    the first, the third and the fifth convolution, as in Melas' network; other strides drop or add one in between. With the
    head "bins" it ends with the fifth convolution, of 313 channels: (B, 313, H / 2, W / 2).
    """
    layers: list[nn.Module] = []
    before = channels
    for number, width in enumerate((*WIDTHS, OUTPUTS[head]), start=1):
        last = number > len(WIDTHS)
        layers.append(nn.Conv2d(before, width, 3, padding=1, bias=last))
        if not last:
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        if number in UPSAMPLED_AFTER[stride] and not (last and head == "bins"):
            layers.append(nn.Upsample(scale_factor=2))
        before = width
    return nn.Sequential(*layers)
