"""The network of Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016).

The layers are those of the authors' PyTorch code: conv1 to conv7, each followed by BatchNorm; conv8
without BatchNorm; a layer with one channel per color bin; softmax; a 1x1 convolution to ab; 4x
bilinear upsampling. The network has 32.2 M parameters and is not pretrained.
"""

import torch
from torch import nn

from colorpipe.color import bins, lab
from colorpipe.config import Strict
from colorpipe.models.colorizer import Colorizer

# Each block's 3x3 convolutions: channels, number, dilation, and the stride of the last one.
BLOCKS = (
    (64, 2, 1, 2),
    (128, 2, 1, 2),
    (256, 3, 1, 2),
    (512, 3, 1, 1),
    (512, 3, 2, 1),
    (512, 3, 2, 1),
    (512, 3, 1, 1),
)


class Config(Strict):
    """No settings. Zhang et al. fix all layers."""


def build(config: Config, head: str) -> Colorizer:
    """Build the network.

    With the head "ab", it ends with softmax, a 1x1 convolution to ab and upsampling, as the paper
    trains it. The 1x1 convolution starts with the colors of the bins. With the head "bins", it ends
    with the logits, as Zhang et al. train it.
    """
    encoder: list[nn.Module] = []
    before = 1
    for channels, count, dilation, stride in BLOCKS:
        layers: list[nn.Module] = []
        for number in range(1, count + 1):
            step = stride if number == count else 1
            convolution = nn.Conv2d(before, channels, 3, step, padding=dilation, dilation=dilation)
            layers += [convolution, nn.ReLU(inplace=True)]
            before = channels
        encoder.append(nn.Sequential(*layers, nn.BatchNorm2d(channels)))
    to_ab = nn.Conv2d(bins.COUNT, 2, 1, bias=False)
    with torch.no_grad():
        to_ab.weight.copy_(lab.normalize_ab(bins.centers()).T[:, :, None, None])
    decoder = [
        nn.ConvTranspose2d(512, 256, kernel_size=4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, bins.COUNT, 1),
    ]
    if head == "ab":
        decoder += [nn.Softmax(dim=1), to_ab, nn.Upsample(scale_factor=4, mode="bilinear")]
    return Colorizer(
        nn.Sequential(*encoder),
        nn.Sequential(*decoder),
        channels=512,
        stride=8,
        head=head,
        logits_stride=4,
    )
