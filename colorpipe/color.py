"""sRGB <-> CIE Lab on batches: pure, differentiable, on any device and in any floating dtype.

The definitions and constants are those of scikit-image (`skimage.color`): sRGB (IEC 61966-2-1), illuminant D65, 2 degree
observer. Lab is in its own units: L 0..100, a and b about -110..110. This is the one module that knows how Lab is scaled
for a network (`normalize_L`, `normalize_ab`, `denormalize_ab`).

Every function computes element by element: no matrix product that autocast could lower to bfloat16.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
RGB_FROM_XYZ = torch.linalg.inv(torch.tensor(XYZ_FROM_RGB, dtype=torch.float64)).tolist()
WHITE_D65 = (0.95047, 1.0, 1.08883)
# To X / Xn, Y / Yn, Z / Zn, which are 1 for white.
WHITE_FROM_RGB = [[weight / white for weight in row] for row, white in zip(XYZ_FROM_RGB, WHITE_D65, strict=True)]

# The toe of each curve is a straight line, so that the derivative stays finite at black.
SRGB_TOE = 0.04045  # of encoded sRGB
LINEAR_TOE = 0.0031308  # of linear sRGB
XYZ_TOE = 0.008856  # of X / Xn
LAB_TOE = 0.2068966  # of f(X / Xn)

GAMUT_SLACK = 2e-4  # of linear sRGB: the constants' last digits leave white as far outside 0..1
GAMUT_STEPS = 8  # halvings: to 1 / 256 of the chroma


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB (B, 3, H, W) in 0..1 to Lab (B, 3, H, W). Gradients are finite everywhere, black included."""
    fx, fy, fz = _compressed(_mix(_linear(rgb), WHITE_FROM_RGB)).unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=1)


def lightness(rgb: Tensor) -> Tensor:
    """sRGB (B, 3, H, W) in 0..1 to its L (B, 1, H, W): that of `rgb_to_lab` to the bit, without the work for a and b."""
    (y,) = _mix(_linear(rgb), WHITE_FROM_RGB[1:2]).unbind(1)
    return (116 * _compressed(y) - 16).unsqueeze(1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Lab (B, 3, H, W) to sRGB (B, 3, H, W), not clipped: colours outside the sRGB gamut fall outside 0..1.

    Unclipped, a loss on the rendered image still pulls an impossible colour back; `picture` clips.
    """
    return _encoded(_linear_from_lab(lab))


def picture(L: Tensor, ab: Tensor) -> Tensor:
    """L (B, 1, H, W) and ab (B, 2, H, W) as a displayable sRGB image (B, 3, H, W), clipped to 0..1."""
    return lab_to_rgb(torch.cat((L, ab), dim=1)).clamp(0, 1)


def faithful_picture(L: Tensor, ab: Tensor) -> Tensor:
    """L (B, 1, H, W) and ab (B, 2, H, W) as `picture` shows them, but with that very L in every pixel.

    Where sRGB has no such colour, `picture` clips, which moves lightness too. Here the chroma is lowered at the same hue, to
    within 1 / 256 of what there is room for. Not differentiable.
    """
    lab = torch.cat((L, ab), dim=1).movedim(1, 0).reshape(1, 3, -1, 1)  # all pixels in a column
    linear = _linear_from_lab(lab)
    outside = (~_in_gamut(linear)).flatten().nonzero().squeeze(1)
    if len(outside):
        lightness, chroma = lab[:, :1, outside], lab[:, 1:, outside]
        low, high = torch.zeros_like(lightness), torch.ones_like(lightness)  # shares of the chroma: in the gamut, and not
        for _ in range(GAMUT_STEPS):
            middle = (low + high) / 2
            fits = _in_gamut(_linear_from_lab(torch.cat((lightness, chroma * middle), dim=1)))
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        linear[:, :, outside] = _linear_from_lab(torch.cat((lightness, chroma * low), dim=1))
    return _encoded(linear.clamp(0, 1)).view(3, len(L), *L.shape[2:]).movedim(0, 1)


def from_bytes(rgb: Tensor) -> Tensor:
    """Stored sRGB, uint8 0..255, as float32 in 0..1; the shape stays."""
    return rgb.float() / 255


def normalize_L(L: Tensor) -> Tensor:
    """L in 0..100 to a network's input, -1..1."""
    return (L - 50) / 50


def normalize_ab(ab: Tensor) -> Tensor:
    """ab in Lab units to a network's output: divided by 20, about their spread in photographs."""
    return ab / 20


def denormalize_ab(output: Tensor) -> Tensor:
    """A network's output to ab in Lab units."""
    return output * 20


def _linear(rgb: Tensor) -> Tensor:
    """Encoded sRGB to linear sRGB."""
    return torch.where(rgb > SRGB_TOE, ((rgb.clamp(min=SRGB_TOE) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def _linear_from_lab(lab: Tensor) -> Tensor:
    """Lab (B, 3, H, W) to linear sRGB, not clipped."""
    L, a, b = lab.unbind(1)
    fy = (L + 16) / 116
    f = torch.stack((fy + a / 500, fy, fy - b / 200), dim=1)
    xyz = torch.where(f > LAB_TOE, f**3, (f - 16 / 116) / 7.787)
    return _mix(xyz, [[weight * white for weight, white in zip(row, WHITE_D65, strict=True)] for row in RGB_FROM_XYZ])


def _in_gamut(linear: Tensor) -> Tensor:
    """Which colours in linear sRGB (B, 3, H, W) a display has: (B, 1, H, W) bool."""
    return ((linear > -GAMUT_SLACK) & (linear < 1 + GAMUT_SLACK)).all(dim=1, keepdim=True)


def _encoded(linear: Tensor) -> Tensor:
    """Linear sRGB to encoded sRGB, not clipped."""
    encoded = 1.055 * linear.clamp(min=LINEAR_TOE) ** (1 / 2.4) - 0.055
    return torch.where(linear > LINEAR_TOE, encoded, 12.92 * linear)


def _compressed(xyz: Tensor) -> Tensor:
    """X / Xn, Y / Yn or Z / Zn to its cube root, near black a straight line (CIE 1976)."""
    return torch.where(xyz > XYZ_TOE, xyz.clamp(min=XYZ_TOE) ** (1 / 3), 7.787 * xyz + 16 / 116)


def _mix(channels: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """The rows of a matrix of three columns applied to the channel axis of (B, 3, H, W): a channel a row."""
    x, y, z = channels.unbind(1)
    return torch.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix], dim=1)
