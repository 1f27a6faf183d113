import numpy as np
import pytest
import torch
import torch.nn.functional as F
from color_targets import encode_softly
from skimage import color as reference

from colorpipe.color import bins, gamut, lab

# In Lab units. scikit-image's own constants are rounded.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-4}


def cube(steps: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the whole sRGB cube as an image of shape (1, 3, steps * steps, steps)."""
    axis = torch.linspace(0, 1, steps, dtype=dtype)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).reshape(
        1, 3, steps * steps, steps
    )


def channels_last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_lab_equals_scikit_images_over_the_whole_cube(dtype):
    rgb = cube(52, dtype)  # every fifth of the 256 values, black and white included
    expected = reference.rgb2lab(channels_last(rgb.double()))
    assert np.abs(channels_last(lab.rgb_to_lab(rgb)) - expected).max() < TOLERANCE[dtype]


def test_rgb_equals_scikit_images():
    colors = lab.rgb_to_lab(cube(20, torch.float64))
    assert (
        np.abs(
            channels_last(lab.lab_to_rgb(colors)) - reference.lab2rgb(channels_last(colors))
        ).max()
        < 1e-6
    )


def test_primaries_have_their_lab_values():
    red, green, blue = (
        lab.rgb_to_lab(torch.eye(3)[i].view(1, 3, 1, 1)).flatten() for i in range(3)
    )
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert green == pytest.approx([87.74, -86.18, 83.18], abs=0.02)
    assert blue == pytest.approx([32.30, 79.20, -107.86], abs=0.02)


def test_a_pixels_color_depends_on_no_other_pixel():
    rgb = torch.rand(2, 3, 5, 7)
    pixel = lab.rgb_to_lab(rgb[1:, :, 2:3, 4:5].clone())
    assert torch.allclose(lab.rgb_to_lab(rgb)[1:, :, 2:3, 4:5], pixel, atol=1e-4)


def test_round_trip_is_unclipped():
    outside = torch.tensor(  # colors outside the sRGB gamut
        [[50.0, 120.0, -120.0], [90.0, -100.0, 100.0], [5.0, 60.0, 60.0]], dtype=torch.float64
    )
    outside = outside.view(3, 3, 1, 1)
    rgb = lab.lab_to_rgb(outside)
    assert rgb.min() < 0
    assert rgb.max() > 1
    assert torch.allclose(lab.rgb_to_lab(rgb), outside, atol=1e-2)
    image = gamut.render(outside[:, :1], outside[:, 1:])
    assert image.min() == 0
    assert image.max() == 1


def test_rendering_preserves_lightness_and_hue():
    torch.manual_seed(0)
    L, ab = torch.rand(1, 1, 20, 20) * 100, torch.randn(1, 2, 20, 20) * 60
    rendered = lab.rgb_to_lab(gamut.render_preserving_lightness(L, ab))
    assert (rendered[:, :1] - L).abs().max() < 0.6
    assert (lab.rgb_to_lab(gamut.render(L, ab))[:, :1] - L).abs().max() > 5  # clipping changes L
    scale = rendered[:, 1:].norm(dim=1) / ab.norm(dim=1)
    assert torch.allclose(rendered[:, 1:], ab * scale, atol=1)
    assert scale.max() < 1.01


@pytest.mark.parametrize("value", [0.0, 1e-8, 0.04045, 0.5, 1.0])
def test_gradients_are_finite(value):
    rgb = torch.full((1, 3, 2, 2), value, requires_grad=True)
    (gradient,) = torch.autograd.grad(lab.rgb_to_lab(rgb).sum(), rgb)
    assert gradient.isfinite().all()
    gray = torch.tensor([100 * value, 0.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(lab.lab_to_rgb(gray).sum(), gray)
    assert gradient.isfinite().all()


def test_gradients_are_correct():
    torch.manual_seed(0)
    rgb = torch.rand(1, 3, 3, 3, dtype=torch.float64) * 0.9 + 0.05
    assert torch.autograd.gradcheck(lab.rgb_to_lab, rgb.requires_grad_())
    assert torch.autograd.gradcheck(lab.lab_to_rgb, lab.rgb_to_lab(rgb).detach().requires_grad_())


def test_scales_undo_each_other():
    ab = torch.randn(1, 2, 2, 2) * 30
    assert torch.allclose(lab.denormalize_ab(lab.normalize_ab(ab)), ab)
    assert lab.normalize_L(torch.tensor([0.0, 50.0, 100.0])).tolist() == [-1, 0, 1]
    assert lab.uint8_to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [0, 1]


def test_lightness_is_that_of_lab_to_the_bit():
    rgb = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rgb[0, :, 0, 0] = 0
    assert torch.equal(lab.lightness(rgb), lab.rgb_to_lab(rgb)[:, :1])


def test_the_bins_are_the_papers_313():
    centers = bins.centers()
    assert bins.COUNT == 313
    assert len({tuple(center) for center in centers.tolist()}) == 313
    assert (centers % 10 == 0).all()
    assert centers.min(dim=0).values.tolist() == [-90, -110]
    assert centers.max(dim=0).values.tolist() == [100, 100]
    rows = {
        a: (
            centers[centers[:, 0] == a, 1].min().item(),
            centers[centers[:, 0] == a, 1].max().item(),
        )
        for a in (-90, 0, 100)
    }
    assert rows == {-90: (50, 90), 0: (-70, 100), 100: (-90, 0)}  # no axes are swapped


def test_every_srgb_color_is_near_a_bin():
    colors = lab.rgb_to_lab(cube(64, torch.float32))[0, 1:].flatten(1).T  # (N, 2)
    distance = torch.cdist(colors, bins.centers()).min(dim=1).values
    assert distance.max() < 7.1  # Lab units: half the diagonal of a grid of 10
    nearest_to_gray = bins.centers().norm(dim=1).sort().values
    assert nearest_to_gray[-1] > 120  # the 313 points nearest to gray end at about 100


def test_soft_encoding_weighs_bins_by_their_distance():
    ab = torch.tensor([[3.0, 4.0], [-21.0, 38.0]]).view(2, 2, 1, 1)
    encoded = encode_softly(ab)
    assert encoded.shape == (2, 313, 1, 1)
    assert encoded.sum(dim=1).flatten().tolist() == pytest.approx([1, 1])
    assert (encoded > 0).sum(dim=1).flatten().tolist() == [5, 5]
    distance = (bins.centers() - ab[0].flatten()).norm(dim=1)
    expected = torch.exp(-(distance**2) / (2 * 5**2)) * (distance <= distance.sort().values[4])
    torch.testing.assert_close(encoded[0].flatten(), expected / expected.sum())
    one_hot = encode_softly(ab, 1)
    assert bins.centers()[one_hot[1].flatten().argmax()].tolist() == [-20, 40]


@pytest.mark.parametrize("neighbors", [1, 5, 10, 313])
def test_soft_encoding_uses_the_nearest_bins(neighbors):
    """Test sRGB colors, their means, and points outside the gamut."""
    torch.manual_seed(0)
    colors = lab.rgb_to_lab(cube(16, torch.float32))[0, 1:].flatten(1).T  # (N, 2)
    means = (colors + colors[torch.randperm(len(colors))]) / 2
    ab = torch.cat((colors, means, torch.rand(2000, 2) * 250 - 125))
    distances, index = torch.cdist(
        ab, bins.centers(), compute_mode="donot_use_mm_for_euclid_dist"
    ).sort(dim=1)
    probabilities = torch.softmax(-distances[:, :neighbors].square() / (2 * 5**2), dim=1)
    expected = torch.zeros(len(ab), 313).scatter_(1, index[:, :neighbors], probabilities)
    encoded = encode_softly(ab.T.view(1, 2, 1, -1), neighbors)[0, :, 0].T
    # A tie has no right answer.
    distinct = F.pad(distances, (0, 1), value=torch.inf).diff(dim=1)[:, neighbors - 1] > 1e-2
    assert distinct.float().mean() > 0.9
    torch.testing.assert_close(encoded[distinct], expected[distinct], atol=1e-4, rtol=1e-4)


def test_decoding_is_an_annealed_mean():
    logits = torch.full((1, 313, 2, 3), -100.0)
    first, second = (
        (bins.centers() == torch.tensor(center)).all(dim=1).nonzero().item()
        for center in ([10, 20], [50, -40])
    )
    logits[:, first], logits[:, second] = 1.0, 0.0
    for temperature in (1.0, 0.38):
        probability = 1 / (1 + np.exp(-1 / temperature))
        expected = probability * np.array([10, 20]) + (1 - probability) * np.array([50, -40])
        assert bins.decode(logits, temperature)[0, :, 1, 2].tolist() == pytest.approx(
            expected, abs=1e-3
        )
    # A low temperature approaches the mode.
    assert bins.decode(logits, 0.01)[0, :, 0, 0].tolist() == pytest.approx([10, 20])


def test_decoding_undoes_encoding():
    ab = bins.centers().T.reshape(1, 2, 1, 313)
    assert torch.equal(bins.decode(encode_softly(ab, 1).log(), 1.0), ab)


def test_a_color_outside_srgb_loses_chroma_but_no_lightness():
    L = torch.tensor([5.0, 50.0, 97.0, 100.0, 0.0]).view(1, 1, 1, 5).repeat(2, 1, 3, 1)
    ab = torch.tensor([80.0, -60.0]).view(1, 2, 1, 1).expand(2, 2, 3, 5)
    image = gamut.render_preserving_lightness(L, ab)
    assert 0 <= image.min() <= image.max() <= 1
    rendered = lab.rgb_to_lab(image)
    assert (rendered[:, :1] - L).abs().max() < 0.2
    clipped = lab.rgb_to_lab(gamut.render(L, ab))
    assert (clipped[:, :1] - L).abs().max() > 3
    factor = rendered[0, 1, 0] / 80
    assert (rendered[0, 2, 0] - factor * -60).abs().max() < 0.5  # the same hue
    assert factor[1] == pytest.approx(1, abs=1e-3)  # this purple is in the gamut
    assert 0.01 < factor[2] < 0.3
    mild = torch.full_like(ab, 4.0)[..., 1:2]
    torch.testing.assert_close(
        gamut.render_preserving_lightness(L[..., 1:2], mild), gamut.render(L[..., 1:2], mild)
    )
