"""Color classification over the 313 bins: targets, prior, re-balancing, decoding, AuC."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from archives import smooth_images
from color_targets import encode_softly

from colorpipe import metrics
from colorpipe.color import bins, lab
from colorpipe.data.colors import count_colors
from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.evaluation.measure import GrayBaseline
from colorpipe.losses.color_classification import (
    ColorClassification,
    Config,
    build,
    color_prior,
    rebalancing_weights,
)


def build_loss(colors: torch.Tensor, uniform_share: float = 0.5) -> ColorClassification:
    return build(Config(neighbors=5, sigma=5.0, uniform_share=uniform_share), colors, {})


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return smooth_images(np.random.default_rng(0), 12, 16)


@pytest.fixture(scope="module")
def colors(images) -> torch.Tensor:
    return count_colors(torch.from_numpy(images), "colors")


@pytest.fixture(scope="module")
def prior(colors) -> torch.Tensor:
    return color_prior(colors, bins.SoftEncoding(5, 5.0))


def to_ab(images: np.ndarray) -> torch.Tensor:
    return lab.rgb_to_lab(lab.uint8_to_float(torch.from_numpy(images)))[:, 1:]


def test_the_prior_is_the_mean_target_of_all_pixels(images, prior):
    exact = encode_softly(to_ab(images)).mean(dim=(0, 2, 3))
    assert prior.sum().item() == pytest.approx(1)
    assert (prior - exact).abs().max() < 2e-3  # colors are counted on a grid of half a Lab unit
    assert (prior - exact).abs().sum() < 0.02


@pytest.mark.parametrize(("neighbors", "sigma"), [(10, 8.0), (1, 5.0)])
def test_the_weights_depend_on_the_settings_of_the_targets(colors, neighbors, sigma):
    loss = build(Config(neighbors=neighbors, sigma=sigma, uniform_share=0.5), colors, {})
    prior = color_prior(colors, bins.SoftEncoding(neighbors, sigma))
    assert torch.equal(loss.weights, rebalancing_weights(prior, 0.5))


def test_the_weights_are_finite_and_their_mean_is_one(prior):
    for uniform_share in (0.1, 0.5, 0.9):
        weights = rebalancing_weights(prior, uniform_share)
        assert (prior * weights).sum().item() == pytest.approx(1)
        assert weights.isfinite().all()
        absent, common = prior.argmin(), prior.argmax()
        uniform = 1 / bins.COUNT
        ratio = ((1 - uniform_share) * prior[common] + uniform_share * uniform) / (
            (1 - uniform_share) * prior[absent] + uniform_share * uniform
        )
        assert (weights[absent] / weights[common]).item() == pytest.approx(ratio.item(), rel=1e-5)
    assert torch.allclose(rebalancing_weights(prior, 1.0), torch.ones(bins.COUNT))


def test_without_rebalancing_the_loss_is_the_plain_cross_entropy(images, colors):
    torch.manual_seed(0)
    logits = torch.randn(len(images), bins.COUNT, 8, 8)
    target = torch.cat((torch.zeros(len(images), 1, 16, 16), to_ab(images)), dim=1)
    encoded = encode_softly(F.interpolate(target[:, 1:], scale_factor=0.5, mode="area"))
    expected = -(encoded * logits.log_softmax(dim=1)).sum(dim=1).mean()
    loss = build_loss(colors, uniform_share=1.0)
    assert loss(logits, target, target).item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_pixel_has_the_weight_of_its_nearest_bin(colors):
    loss = build_loss(colors)
    vivid, gray = (
        torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        for color in ([50.0, 81, 61], [50.0, 1, 1])
    )
    logits = torch.zeros(1, bins.COUNT, 16, 16)
    for target in (vivid, gray):
        (number,) = bins.find_nearest(target[0, 1:, :1, 0].T)
        expected = np.log(bins.COUNT) * loss.weights[number].item()
        assert loss(logits, target, target).item() == pytest.approx(expected, rel=1e-5)
    assert loss(logits, vivid, vivid) > 5 * loss(logits, gray, gray)


def test_the_target_has_the_resolution_of_the_logits_at_odd_sizes(colors):
    loss = build_loss(colors)
    target = torch.rand(2, 3, 33, 37) * 50
    for scale in (1, 2, 4):
        logits = torch.zeros(2, bins.COUNT, -(-33 // scale), -(-37 // scale), requires_grad=True)
        loss(logits, target, target).backward()
        assert logits.grad.abs().sum() > 0


def test_encoded_colors_decode_to_themselves_within_the_grid(images):
    ab = to_ab(images)
    encoded = encode_softly(ab)
    decoded = bins.decode(encoded.clamp(min=1e-12).log(), temperature=1e-3)
    assert (decoded - ab).square().sum(dim=1).sqrt().max() < 7.1  # half a diagonal of the grid
    mean = bins.decode(encoded.clamp(min=1e-12).log(), temperature=1.0)
    assert (mean - ab).square().sum(dim=1).sqrt().mean() < 1.5


def test_the_nearest_bin_has_the_smallest_distance():
    ab = torch.cat(
        (
            torch.rand(4000, 2) * 260 - 130,
            torch.tensor([[0.0, 0.0], [-120.0, 120.0], [500.0, -500.0]]),
        )
    )
    distances = torch.cdist(ab, bins.centers())
    nearest = distances[torch.arange(len(ab)), bins.find_nearest(ab)]
    assert torch.allclose(nearest, distances.min(dim=1).values, atol=1e-3)
    assert bins.histogram(ab.T.view(1, 2, -1, 1)).sum() == len(ab)


def area(fractions: np.ndarray) -> float:
    """Return the area under a curve over 0, 1, ..., 150, by trapezoids."""
    return ((fractions[1:].astype(float) + fractions[:-1]) / 2).sum() / 150


def test_the_auc_is_one_for_the_truth_and_correct_for_a_constant():
    target = torch.zeros(1, 2, 2, 2)  # gray
    target[0, 0, 0] = 10.0  # half of the pixels are in another bin, 10 Lab units from gray
    perfect, gray = ColorStatistics(torch.device("cpu")), ColorStatistics(torch.device("cpu"))
    perfect.update(target, target)
    gray.update(torch.zeros_like(target), target)
    assert perfect.auc() == (1.0, 1.0)
    steps = np.arange(151)
    far = area(steps >= 10)
    assert gray.auc() == pytest.approx(((1 + far) / 2, (1 + far) / 2))
    target[0, 0, 0, 0] = 0.0  # Three of four pixels are gray. Re-balanced, both bins count alike.
    gray = ColorStatistics(torch.device("cpu"))
    gray.update(torch.zeros_like(target), target)
    assert gray.auc() == pytest.approx(((3 + far) / 4, (1 + far) / 2))
    away = ColorStatistics(torch.device("cpu"))
    away.update(target + 200, target)
    assert away.auc() == (0.0, 0.0)


def test_the_auc_is_computed_by_trapezoids():
    predicted, steps = torch.zeros(1, 2, 1, 400), np.arange(151)
    target = torch.stack((torch.linspace(0, 170, 400), torch.zeros(400)))[None, :, None]
    fractions = [(target[0, 0, 0].numpy() <= step).mean() for step in steps]
    auc = metrics.auc_area(predicted, target).mean().item() / metrics.AUC_FULL
    assert auc == pytest.approx(area(np.array(fractions)))


def entropy(probabilities: np.ndarray) -> float:
    """Return the entropy in bits."""
    return -(probabilities[probabilities > 0] * np.log2(probabilities[probabilities > 0])).sum()


def test_the_divergence_of_histograms_equals_its_formula():
    rng = np.random.default_rng(0)
    counts, others = rng.integers(0, 9, 313), rng.integers(0, 9, 313)
    p, q = counts / counts.sum(), others / others.sum()
    expected = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    tensors = [torch.tensor(histogram).double() for histogram in (counts, others)]
    assert metrics.jensen_shannon(*tensors) == pytest.approx(expected)
    disjoint = torch.eye(313, dtype=torch.float64)
    assert metrics.jensen_shannon(disjoint[0], disjoint[1]) == pytest.approx(1)
    assert metrics.jensen_shannon(disjoint[0], 5 * disjoint[0]) == 0


def test_the_gray_baseline_predicts_all_bins_equally(colors):
    L = torch.rand(2, 1, 17, 18) * 100
    prediction = GrayBaseline()(L)
    assert not prediction.ab.any()
    target = torch.cat((L, torch.randn(2, 2, 17, 18) * 20), dim=1)
    loss = build_loss(colors, uniform_share=1.0)
    assert loss(prediction.logits, target, target).item() == pytest.approx(np.log(313), rel=1e-5)
