"""sRGB <-> CIE Lab on batches: pure functions, differentiable, on any device and in any floating dtype.

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
WHITE_FROM_RGB = [
    [weight / white for weight in row] for row, white in zip(XYZ_FROM_RGB, WHITE_D65, strict=True)
]

# The toe of each curve is a straight line, so that the derivative stays finite at black.
SRGB_TOE = 0.04045  # of encoded sRGB
LINEAR_TOE = 0.0031308  # of linear sRGB
XYZ_TOE = 0.008856  # of X / Xn
LAB_TOE = 0.2068966  # of f(X / Xn)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab (`skimage.color.rgb2lab`). Gradients are finite everywhere, black included.

    Args:
        rgb: sRGB in 0..1, (B, 3, H, W).

    Returns:
        Lab, (B, 3, H, W): L in 0..100, a and b about -110..110.

    Example:
        >>> rgb_to_lab(torch.ones(1, 3, 1, 1)).flatten().round()
        tensor([100., -0., 0.])
    """
    fx, fy, fz = lab_f(_mix(srgb_to_linear(rgb), WHITE_FROM_RGB)).unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=1)


def lightness(rgb: Tensor) -> Tensor:
    """L (B, 1, H, W) in 0..100 of sRGB (B, 3, H, W) in 0..1: that of `rgb_to_lab` to the bit, without computing a and b."""
    (y,) = _mix(srgb_to_linear(rgb), WHITE_FROM_RGB[1:2]).unbind(1)
    return (116 * lab_f(y) - 16).unsqueeze(1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIE Lab to sRGB, not clipped: colors outside the sRGB gamut fall outside 0..1 (`skimage.color.lab2rgb`).

    Unclipped, a loss on the rendered image still has a gradient that pulls an impossible color back;
    `color.gamut.render` clips.

    Args:
        lab: Lab, (B, 3, H, W): L in 0..100, a and b in Lab units.

    Returns:
        sRGB, (B, 3, H, W).
    """
    return linear_to_srgb(lab_to_linear(lab))


def from_bytes(rgb: Tensor) -> Tensor:
    """Stored sRGB, uint8 0..255, as float32 in 0..1; the shape stays."""
    return rgb.float() / 255


def normalize_L(L: Tensor) -> Tensor:
    """L in 0..100 to a network's input in -1..1; the shape stays."""
    return (L - 50) / 50


def normalize_ab(ab: Tensor) -> Tensor:
    """ab in Lab units to a network's output: divided by 20, about their spread in photographs."""
    return ab / 20


def denormalize_ab(output: Tensor) -> Tensor:
    """A network's output to ab in Lab units."""
    return output * 20


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Encoded sRGB to linear sRGB."""
    return torch.where(
        rgb > SRGB_TOE, ((rgb.clamp(min=SRGB_TOE) + 0.055) / 1.055) ** 2.4, rgb / 12.92
    )


def lab_to_linear(lab: Tensor) -> Tensor:
    """Lab (B, 3, H, W) to linear sRGB, not clipped."""
    L, a, b = lab.unbind(1)
    fy = (L + 16) / 116
    f = torch.stack((fy + a / 500, fy, fy - b / 200), dim=1)
    xyz = torch.where(f > LAB_TOE, f**3, (f - 16 / 116) / 7.787)
    return _mix(
        xyz,
        [
            [weight * white for weight, white in zip(row, WHITE_D65, strict=True)]
            for row in RGB_FROM_XYZ
        ],
    )


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Linear sRGB to encoded sRGB, not clipped."""
    encoded = 1.055 * linear.clamp(min=LINEAR_TOE) ** (1 / 2.4) - 0.055
    return torch.where(linear > LINEAR_TOE, encoded, 12.92 * linear)


def lab_f(xyz: Tensor) -> Tensor:
    """X / Xn, Y / Yn or Z / Zn to its cube root, near black a straight line (CIE 1976)."""
    return torch.where(xyz > XYZ_TOE, xyz.clamp(min=XYZ_TOE) ** (1 / 3), 7.787 * xyz + 16 / 116)


def _mix(channels: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """The rows of a matrix of three columns applied to the channel axis of (B, 3, H, W): one output channel per row."""
    x, y, z = channels.unbind(1)
    return torch.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix], dim=1)
