"""Conversion between sRGB and CIE Lab on batches of images.

The functions are pure and differentiable. They run on any device and in any floating-point type.
Definitions and constants are those of scikit-image (`skimage.color`): sRGB (IEC 61966-2-1),
illuminant D65, 2 degree observer. Lab is in its own units: L is in [0, 100]; a and b are roughly in
[-110, 110]. Only this module knows how Lab is scaled for a network (`normalize_L`, `normalize_ab`
and their inverses).

Everything is computed element by element. A matrix product would be lowered to bfloat16 by
autocast.
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
# From linear RGB to X / Xn, Y / Yn and Z / Zn, which are 1 for white.
WHITE_FROM_RGB = [
    [weight / white for weight in row] for row, white in zip(XYZ_FROM_RGB, WHITE_D65, strict=True)
]

# Below its toe, each curve is a straight line, so that its derivative is finite at black.
SRGB_TOE = 0.04045  # in encoded sRGB
LINEAR_TOE = 0.0031308  # in linear sRGB
XYZ_TOE = 0.008856  # in X / Xn
LAB_TOE = 0.2068966  # in f(X / Xn)

AB_SCALE = 20  # Lab units, about the spread of ab in photographs; a network predicts ab / 20


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab (D65, 2 degree observer), as `skimage.color.rgb2lab` does.

    Gradients are finite everywhere, including black.

    Args:
        rgb: Images of shape (B, 3, H, W) with values in [0, 1].

    Returns:
        Lab images of the same shape. L is in [0, 100]; a and b are roughly in [-110, 110].

    Example:
        >>> rgb_to_lab(torch.ones(1, 3, 1, 1)).flatten().round()
        tensor([100., -0., 0.])
    """
    fx, fy, fz = lab_f(_mix(srgb_to_linear(rgb), WHITE_FROM_RGB)).unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=1)


def lightness(rgb: Tensor) -> Tensor:
    """Compute L without a and b. It equals the L of `rgb_to_lab` to the bit.

    Args:
        rgb: Images of shape (B, 3, H, W) with values in [0, 1].

    Returns:
        L of shape (B, 1, H, W) in [0, 100].
    """
    (y,) = _mix(srgb_to_linear(rgb), WHITE_FROM_RGB[1:2]).unbind(1)
    return (116 * lab_f(y) - 16).unsqueeze(1)


def lightness_to_srgb(L: Tensor) -> Tensor:
    """Return the sRGB value of the gray with lightness L, the inverse of `lightness` for grays.

    Args:
        L: L of shape (B, 1, H, W) in [0, 100].

    Returns:
        sRGB of the same shape with values in [0, 1].
    """
    return linear_to_srgb(lab_f_inverse((L + 16) / 116))


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIE Lab to sRGB without clipping.

    A loss on the unclipped image has a gradient that pulls a color back into the sRGB gamut.
    `color.gamut.render` clips. For colors of the sRGB gamut, the result is that of
    `skimage.color.lab2rgb`.

    Args:
        lab: Lab images of shape (B, 3, H, W). L is in [0, 100].

    Returns:
        sRGB images of the same shape. Colors outside the sRGB gamut have values outside [0, 1].
    """
    return linear_to_srgb(lab_to_linear(lab))


def uint8_to_float(rgb: Tensor) -> Tensor:
    """Convert stored sRGB (uint8) to float32 in [0, 1], in the same shape."""
    return rgb.float() / 255


def normalize_L(L: Tensor) -> Tensor:
    """Scale L from [0, 100] to [-1, 1], the input of a network."""
    return (L - 50) / 50


def denormalize_L(normalized: Tensor) -> Tensor:
    """Scale the input of a network from [-1, 1] to L in [0, 100]."""
    return normalized * 50 + 50


def normalize_ab(ab: Tensor) -> Tensor:
    """Scale ab from Lab units to the output of a network."""
    return ab / AB_SCALE


def denormalize_ab(output: Tensor) -> Tensor:
    """Scale the output of a network to ab in Lab units."""
    return output * AB_SCALE


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Convert encoded sRGB to linear sRGB."""
    return torch.where(
        rgb > SRGB_TOE, ((rgb.clamp(min=SRGB_TOE) + 0.055) / 1.055) ** 2.4, rgb / 12.92
    )


def lab_to_linear(lab: Tensor) -> Tensor:
    """Convert Lab (B, 3, H, W) to linear sRGB of the same shape, without clipping."""
    L, a, b = lab.unbind(1)
    fy = (L + 16) / 116
    f = torch.stack((fy + a / 500, fy, fy - b / 200), dim=1)
    xyz = lab_f_inverse(f)
    rgb_from_white = [
        [weight * white for weight, white in zip(row, WHITE_D65, strict=True)]
        for row in RGB_FROM_XYZ
    ]
    return _mix(xyz, rgb_from_white)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Convert linear sRGB to encoded sRGB, without clipping."""
    encoded = 1.055 * linear.clamp(min=LINEAR_TOE) ** (1 / 2.4) - 0.055
    return torch.where(linear > LINEAR_TOE, encoded, 12.92 * linear)


def lab_f(xyz: Tensor) -> Tensor:
    """Apply f of CIE 1976, a cube root with a linear toe, to X / Xn, Y / Yn or Z / Zn."""
    return torch.where(xyz > XYZ_TOE, xyz.clamp(min=XYZ_TOE) ** (1 / 3), 7.787 * xyz + 16 / 116)


def lab_f_inverse(f: Tensor) -> Tensor:
    """Apply the inverse of `lab_f`."""
    return torch.where(f > LAB_TOE, f**3, (f - 16 / 116) / 7.787)


def _mix(channels: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Multiply the channels of (B, 3, H, W) by a matrix of three columns, one output per row."""
    x, y, z = channels.unbind(1)
    return torch.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix], dim=1)
