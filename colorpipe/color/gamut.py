"""Rendering L and ab as a displayable sRGB image: clipped to the gamut, or with lightness preserved."""

import torch
from torch import Tensor

from colorpipe.color import lab

SLACK = 2e-4  # of linear sRGB: the last digits of the constants put white that far outside 0..1
BISECTIONS = 8  # of the chroma: to 1 / 256


def render(L: Tensor, ab: Tensor) -> Tensor:
    """Render as sRGB in 0..1, clipped: outside the gamut, clipping changes lightness and hue too.

    Args:
        L: lightness in 0..100, (B, 1, H, W).
        ab: in Lab units, (B, 2, H, W).

    Returns:
        sRGB in 0..1, (B, 3, H, W).
    """
    return lab.lab_to_rgb(torch.cat((L, ab), dim=1)).clamp(0, 1)


def render_preserving_lightness(L: Tensor, ab: Tensor) -> Tensor:
    """Render as sRGB in 0..1 with exactly the given L in every pixel.

    Where a color is outside the sRGB gamut, its chroma is lowered at constant hue until it fits, to within 1 / 256.
    Not differentiable.

    Args:
        L: lightness in 0..100, (B, 1, H, W).
        ab: in Lab units, (B, 2, H, W).

    Returns:
        sRGB in 0..1, (B, 3, H, W).
    """
    pixels = (
        torch.cat((L, ab), dim=1).movedim(1, 0).reshape(1, 3, -1, 1)
    )  # all pixels in one column
    linear = lab.lab_to_linear(pixels)
    outside = (~in_gamut(linear)).flatten().nonzero().squeeze(1)
    if len(outside):
        lightness, chroma = pixels[:, :1, outside], pixels[:, 1:, outside]
        low, high = (
            torch.zeros_like(lightness),
            torch.ones_like(lightness),
        )  # shares of the chroma: inside, outside
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            fits = in_gamut(lab.lab_to_linear(torch.cat((lightness, chroma * middle), dim=1)))
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        linear[:, :, outside] = lab.lab_to_linear(torch.cat((lightness, chroma * low), dim=1))
    return lab.linear_to_srgb(linear.clamp(0, 1)).view(3, len(L), *L.shape[2:]).movedim(0, 1)


def in_gamut(linear: Tensor) -> Tensor:
    """Which colors in linear sRGB (B, 3, H, W) a display has: (B, 1, H, W) bool."""
    return ((linear > -SLACK) & (linear < 1 + SLACK)).all(dim=1, keepdim=True)
