import numpy as np
import pytest
import torch
from skimage import color as reference

from colorpipe import color

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-4}  # Lab units; scikit-image's own constants are rounded


def cube(steps: int, dtype: torch.dtype) -> torch.Tensor:
    """The whole sRGB cube as one image (1, 3, steps * steps, steps)."""
    axis = torch.linspace(0, 1, steps, dtype=dtype)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).reshape(1, 3, steps * steps, steps)


def channels_last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_lab_is_scikit_images_over_the_whole_cube(dtype):
    rgb = cube(52, dtype)  # every fifth of the 256 values, black and white included
    expected = reference.rgb2lab(channels_last(rgb.double()))
    assert np.abs(channels_last(color.rgb_to_lab(rgb)) - expected).max() < TOLERANCE[dtype]


def test_rgb_is_scikit_images():
    lab = color.rgb_to_lab(cube(20, torch.float64))
    assert np.abs(channels_last(color.lab_to_rgb(lab)) - reference.lab2rgb(channels_last(lab))).max() < 1e-6


def test_axes_and_units():
    red, green, blue = (color.rgb_to_lab(torch.eye(3)[i].view(1, 3, 1, 1)).flatten() for i in range(3))
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert green == pytest.approx([87.74, -86.18, 83.18], abs=0.02)
    assert blue == pytest.approx([32.30, 79.20, -107.86], abs=0.02)


def test_height_and_width_stay():
    rgb = torch.rand(2, 3, 5, 7)
    one = color.rgb_to_lab(rgb[1:, :, 2:3, 4:5].clone())
    assert torch.allclose(color.rgb_to_lab(rgb)[1:, :, 2:3, 4:5], one, atol=1e-4)


def test_round_trip_is_unclipped():
    lab = torch.tensor([[50.0, 120.0, -120.0], [90.0, -100.0, 100.0], [5.0, 60.0, 60.0]], dtype=torch.float64).view(
        3, 3, 1, 1
    )
    rgb = color.lab_to_rgb(lab)
    assert rgb.min() < 0  # these colours are outside sRGB
    assert rgb.max() > 1
    assert torch.allclose(color.rgb_to_lab(rgb), lab, atol=1e-2)
    picture = color.picture(lab[:, :1], lab[:, 1:])
    assert picture.min() == 0
    assert picture.max() == 1


@pytest.mark.parametrize("value", [0.0, 1e-8, 0.04045, 0.5, 1.0])
def test_gradients_are_finite(value):
    rgb = torch.full((1, 3, 2, 2), value, requires_grad=True)
    (gradient,) = torch.autograd.grad(color.rgb_to_lab(rgb).sum(), rgb)
    assert gradient.isfinite().all()
    lab = torch.tensor([100 * value, 0.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(color.lab_to_rgb(lab).sum(), lab)
    assert gradient.isfinite().all()


def test_gradients_are_right():
    torch.manual_seed(0)
    rgb = torch.rand(1, 3, 3, 3, dtype=torch.float64) * 0.9 + 0.05
    assert torch.autograd.gradcheck(color.rgb_to_lab, rgb.requires_grad_())
    assert torch.autograd.gradcheck(color.lab_to_rgb, color.rgb_to_lab(rgb).detach().requires_grad_())


def test_scales_undo_each_other():
    ab = torch.randn(1, 2, 2, 2) * 30
    assert torch.allclose(color.denormalize_ab(color.normalize_ab(ab)), ab)
    assert color.normalize_L(torch.tensor([0.0, 50.0, 100.0])).tolist() == [-1, 0, 1]
    assert color.from_bytes(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [0, 1]


def test_lightness_is_that_of_lab_to_the_bit():
    rgb = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rgb[0, :, 0, 0] = 0
    assert torch.equal(color.lightness(rgb), color.rgb_to_lab(rgb)[:, :1])
