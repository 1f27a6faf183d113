"""Rendering of L and ab as sRGB: clipped to the gamut, or with the lightness preserved."""

import torch
from torch import Tensor

from colorpipe.color import lab

SLACK = 2e-4  # linear sRGB; rounded constants put white this far outside [0, 1]
BISECTIONS = 8  # steps of the search for the largest chroma, which is exact to 1 / 256


def render(L: Tensor, ab: Tensor) -> Tensor:
    """Render as sRGB and clip. Clipping a color outside the gamut changes its lightness and hue.

    Args:
        L: Lightness in [0, 100], (B, 1, H, W).
        ab: a and b in Lab units, (B, 2, H, W).

    Returns:
        sRGB images in [0, 1], (B, 3, H, W).
    """
    return lab.lab_to_rgb(torch.cat((L, ab), dim=1)).clamp(0, 1)


def render_preserving_lightness(L: Tensor, ab: Tensor) -> Tensor:
    """Render as sRGB with the given L in every pixel, to within 0.2 Lab units.

    If a color is outside the sRGB gamut, its chroma is lowered at constant hue until the color is
    inside, to within 1 / 256 of the chroma. The function is not differentiable.

    Args:
        L: Lightness in [0, 100], (B, 1, H, W).
        ab: a and b in Lab units, (B, 2, H, W).

    Returns:
        sRGB images in [0, 1], (B, 3, H, W).
    """
    pixels = torch.cat((L, ab), dim=1).movedim(1, 0).reshape(1, 3, -1, 1)  # all in one column
    linear = lab.lab_to_linear(pixels)
    outside = (~in_gamut(linear)).flatten().nonzero().squeeze(1)
    if len(outside):
        lightness, chroma = pixels[:, :1, outside], pixels[:, 1:, outside]
        low, high = torch.zeros_like(lightness), torch.ones_like(lightness)  # factors of the chroma
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            fits = in_gamut(lab.lab_to_linear(torch.cat((lightness, chroma * middle), dim=1)))
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        linear[:, :, outside] = lab.lab_to_linear(torch.cat((lightness, chroma * low), dim=1))
    rgb = lab.linear_to_srgb(linear.clamp(0, 1))
    return rgb.view(3, len(L), *L.shape[2:]).movedim(0, 1)


def in_gamut(linear: Tensor) -> Tensor:
    """Return which colors in linear sRGB (B, 3, H, W) are inside the gamut: (B, 1, H, W) bool."""
    return ((linear > -SLACK) & (linear < 1 + SLACK)).all(dim=1, keepdim=True)
