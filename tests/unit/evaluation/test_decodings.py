import numpy as np
import pytest
import torch
from archives import smooth_images

from colorpipe import metrics
from colorpipe.color import gamut
from colorpipe.config import EvaluationConfig
from colorpipe.evaluation.decodings import measure_decodings, measure_vividness
from colorpipe.inference import predict
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer

UNET = {"widths": [8, 16], "blocks": [1, 1]}


@pytest.fixture
def model() -> Colorizer:
    torch.manual_seed(0)
    model = build_colorizer("unet", UNET, "bins").eval()
    torch.nn.init.normal_(model.decoder.head.weight)
    model.set_bin_weights(torch.linspace(0.2, 5, 313))
    return model


def draw_images(seed: int, size: int) -> torch.Tensor:
    return torch.from_numpy(smooth_images(np.random.default_rng(seed), 70, size))


@pytest.mark.parametrize("size", [32, 33])
@torch.no_grad()
def test_a_decoding_is_measured_as_if_the_colorizer_used_it(model, size):
    images = draw_images(0, size)
    pairs = [(0.0, 1.0), (0.5, 0.7), (1.0, 0.38)]
    decodings, original = measure_decodings(model, images, pairs)
    for (alpha, temperature), decoding in zip(pairs, decodings, strict=True):
        model.alpha, model.temperature = alpha, temperature
        colorized = predict(model, images)
        rendered = gamut.render(colorized.L, colorized.prediction.ab)
        expected = (
            (colorized.prediction.ab - colorized.true_ab).square().mean().item(),
            metrics.colorfulness(rendered).mean().item(),
        )
        assert decoding[:2] == (alpha, temperature)
        assert decoding[2:] == pytest.approx(expected, rel=1e-4)
    assert original == pytest.approx(
        metrics.colorfulness(colorized.true_rgb).mean().item(), rel=1e-5
    )


def test_the_description_has_all_pairs_and_the_path_on_both_sets(model):
    values = {"alpha": 0.1, "temperature": 0.5, "alphas": [0.0, 1.0], "temperatures": [1.0, 0.38]}
    settings = EvaluationConfig.model_validate(values)
    val, test = draw_images(0, 32), draw_images(1, 32)
    described = measure_vividness(model, settings, val, test)
    pairs = [(row["alpha"], row["temperature"]) for row in described["decodings"]]
    assert pairs == [(0.0, 1.0), (0.0, 0.38), (0.1, 0.5), (1.0, 1.0), (1.0, 0.38)]
    path = described["vividness"]
    assert all(point in described["decodings"] for point in path)
    path_pairs = [(point["alpha"], point["temperature"]) for point in path]
    tested, _ = measure_decodings(model, test, path_pairs)
    assert described["test_vividness"] == [decoding._asdict() for decoding in tested]
