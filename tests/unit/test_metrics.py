import numpy as np
import pytest
import torch
from skimage import metrics as skimage_metrics
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from colorpipe import metrics


@pytest.fixture
def ab():
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.randn(7, 2, 5, 6) * 30, size=(32, 40), mode="bicubic"
    )
    return smooth + torch.randn(7, 2, 32, 40) * 4, smooth


@pytest.fixture
def rgb():
    torch.manual_seed(1)
    original = torch.nn.functional.interpolate(
        torch.rand(5, 3, 6, 5), size=(33, 48), mode="bilinear"
    )
    return (original + 0.1 * torch.randn_like(original)).clamp(0, 1), original


def test_ssim_and_psnr_of_ab_equal_torchmetrics(ab):
    predicted, target = ab
    assert metrics.batch_ssim(predicted, target).item() == pytest.approx(
        structural_similarity_index_measure(predicted, target).item(), abs=1e-5
    )
    data_range = (target.max() - target.min()).item()
    assert metrics.batch_psnr(predicted, target).item() == pytest.approx(
        peak_signal_noise_ratio(predicted, target, data_range=data_range).item(), abs=1e-4
    )


def test_the_data_range_is_that_of_the_target(ab):
    predicted, target = ab
    assert metrics.batch_psnr(3 * predicted, target) < metrics.batch_psnr(predicted, target)
    wide = 5 * predicted  # the prediction has the larger range
    assert metrics.batch_ssim(wide, target).item() == pytest.approx(
        structural_similarity_index_measure(wide, target).item(), abs=1e-5
    )


def test_ssim_and_psnr_of_rgb_equal_scikit_images(rgb):
    ssim, psnr = metrics.ssim(*rgb), metrics.psnr(*rgb)
    for number, (ours, theirs) in enumerate(
        zip(*(images.permute(0, 2, 3, 1).double().numpy() for images in rgb), strict=True)
    ):
        expected = skimage_metrics.structural_similarity(
            ours,
            theirs,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=2,
        )
        assert ssim[number].item() == pytest.approx(expected, abs=1e-5)
        expected = skimage_metrics.peak_signal_noise_ratio(theirs, ours, data_range=1)
        assert psnr[number].item() == pytest.approx(expected, abs=1e-4)


def test_equal_images_have_the_best_scores():
    images = torch.rand(2, 3, 16, 16)
    assert metrics.ssim(images, images).tolist() == pytest.approx([1, 1])
    assert metrics.psnr(images, images).tolist() == pytest.approx([100, 100])


def test_a_too_small_image_is_refused():
    with pytest.raises(ValueError, match="larger than 10 pixels"):
        metrics.ssim(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))


def test_colorfulness_equals_its_formula():
    assert metrics.colorfulness(torch.full((1, 3, 4, 4), 0.3)).item() == pytest.approx(0, abs=1e-5)
    image = torch.rand(3, 9, 9)
    red, green, blue = (255 * image).double().numpy()
    rg, yb = red - green, 0.5 * (red + green) - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert metrics.colorfulness(image[None]).item() == pytest.approx(expected, rel=1e-5)
