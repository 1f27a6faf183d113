"""Prediction and averaging, which training, evaluation and the app share."""

import numpy as np
import pytest
import torch
from archives import smooth_images
from skimage import color as skimage_color

from colorpipe.color import bins
from colorpipe.inference import (
    Colorized,
    MetricAverager,
    average,
    compute_loss,
    predict,
    prepare_device,
    render,
)
from colorpipe.losses.color_classification import ColorClassification
from colorpipe.losses.l1 import L1
from colorpipe.models.colorizer import Prediction
from colorpipe.models.loading import build_colorizer


class Recorder:
    """A colorizer that records L and the dtype of its arithmetic. It predicts a = 10, b = -20."""

    def __init__(self) -> None:
        self.L, self.dtype = None, None

    def __call__(self, L):
        self.L, self.dtype = L, torch.nn.functional.conv2d(L, torch.ones(2, 1, 1, 1)).dtype
        ab = torch.tensor([10.0, -20.0]).view(1, 2, 1, 1)
        return Prediction(ab.expand(len(L), 2, *L.shape[2:]), None)


@pytest.fixture
def images():
    return smooth_images(np.random.default_rng(1), 5, 24)


@pytest.mark.parametrize("sizes", [[1, 1], [64, 32], [32, 64]])
def test_averages_weigh_batches_by_their_size(sizes):
    averager = MetricAverager()
    for value, size in zip((1.0, 4.0), sizes, strict=True):
        averager.update({"loss": torch.tensor(value)}, size)
    expected = (sizes[0] + 4 * sizes[1]) / sum(sizes)
    assert average([averager.totals()]) == {"loss": expected}
    assert average([averager.totals()], "val_") == {"val_loss": expected}


def test_the_average_over_processes_is_that_of_one_process_to_the_bit():
    values = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, parts = MetricAverager(), [MetricAverager() for _ in range(4)]
    for number, value in enumerate(values):
        whole.update({"loss": value}, 3)
        parts[number % 3].update({"loss": value}, 3)  # the last process has no batch
    totals = [part.totals() for part in parts]
    assert totals[3] == ({}, 0)
    assert average(totals) == average([whole.totals()]) == average(totals[2::-1])


def test_a_network_sees_L_and_nothing_else(images):
    model = Recorder()
    colorized = predict(model, torch.from_numpy(images))
    lab = skimage_color.rgb2lab(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert model.L.shape == (5, 1, 24, 24)
    assert np.abs(model.L.numpy() - lab[:, :1]).max() < 1e-3
    assert np.abs(colorized.L.numpy() - lab[:, :1]).max() < 1e-3
    assert np.abs(colorized.true_ab.numpy() - lab[:, 1:]).max() < 1e-2
    assert np.abs(colorized.true_rgb.numpy() - images / 255).max() < 1e-6


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_only_the_network_uses_the_precision(images, precision, dtype):
    model = Recorder()
    colorized = predict(model, torch.from_numpy(images), precision)
    assert model.dtype == dtype
    assert colorized.true_lab.dtype == colorized.true_rgb.dtype == torch.float32


def test_colors_decoded_from_logits_are_float32(images):
    """SSIM needs float32. In bfloat16, the variances lose most of their digits."""
    torch.manual_seed(0)
    model = build_colorizer("unet", {"widths": [8, 16], "blocks": [1, 1]}, "bins")
    coarse = predict(model, torch.from_numpy(images), "bfloat16").prediction
    assert coarse.logits.dtype == coarse.ab.dtype == torch.float32


def test_a_loss_gets_ab_or_logits_depending_on_its_head():
    lab = torch.zeros(2, 3, 8, 8)
    ab, logits = torch.full((2, 2, 8, 8), 3.0), torch.zeros(2, 313, 4, 4)
    colorized = Colorized(torch.zeros(2, 3, 8, 8), lab, Prediction(ab, logits))
    assert compute_loss(L1(), colorized).item() == 3.0
    classification = ColorClassification(bins.SoftEncoding(5, 5.0), torch.ones(313))
    assert compute_loss(classification, colorized).item() == pytest.approx(np.log(313), rel=1e-5)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_renderings_are_in_gray_predicted_and_original_colors(images):
    rendered = render(Recorder(), torch.from_numpy(images))
    lab = skimage_color.rgb2lab(images.transpose(0, 2, 3, 1))
    for name, ab in (("gray", (0, 0)), ("predicted", (10, -20)), ("original", None)):
        if ab:
            lab[..., 1:] = ab
        expected = images.transpose(0, 2, 3, 1) / 255 if ab is None else skimage_color.lab2rgb(lab)
        ours = rendered[name].permute(0, 2, 3, 1).numpy()
        assert np.abs(ours - expected).max() < 2e-3, name


def test_the_device_is_seeded_and_deterministic():
    threads = torch.get_num_threads()
    draws = []
    for _ in range(2):
        assert prepare_device(7, 1, torch.device("cpu")) == torch.device("cpu")
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1]
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
