"""A PatchGAN discriminator (Isola et al. 2017): tells real from generated colors, patch by patch."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from colorpipe.color import lab

WIDTH = 64  # channels of the first convolution
SMALL = 64  # pixels a side: below, patches of 16 x 16 pixels; else of 34 x 34


class PatchGAN(nn.Module):
    """L and ab to a score for each patch, higher for real ones.

    4x4 convolutions with spectral norm (Miyato et al. 2018) and without BatchNorm: one of stride 2 and two of stride 1 see
    16 x 16 pixels each; with two of stride 2, 34 x 34.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        halvings = 1 if size < SMALL else 2
        layers: list[nn.Module] = []
        before, width = 3, WIDTH
        for stride in (*[2] * halvings, 1):
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
            before, width = width, 2 * width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 4, padding=1)))

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Scores (B, 1, h, w) of L (B, 1, H, W) in 0..100 and ab (B, 2, H, W) in Lab units."""
        scores: Tensor = self.layers(torch.cat((lab.normalize_L(L), lab.normalize_ab(ab)), dim=1))
        return scores.float()
