"""Error and colorfulness of each decoding of a colorizer that classifies over color bins."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from colorpipe import metrics
from colorpipe.color import gamut
from colorpipe.config import EvaluationConfig
from colorpipe.evaluation.vividness import Decoding, find_path
from colorpipe.inference import MetricAverager, average, predict
from colorpipe.models.colorizer import Colorizer


def measure_vividness(
    model: Colorizer, settings: EvaluationConfig, val: Tensor, test: Tensor
) -> dict[str, Any]:
    """Measure all decodings on the validation images, and find the path from faithful to vivid.

    Args:
        model: A colorizer with the head "bins".
        settings: The decodings to measure.
        val: Stored validation images, (N, 3, H, W) uint8.
        test: Stored test images, (N, 3, H, W) uint8. The path does not depend on them.

    Returns:
        `decodings` and the path `vividness`, both on the validation images, the colorfulness of
        these images, and `test_vividness`, which is the path measured on the test images.
    """
    pairs = {*itertools.product(settings.alphas, settings.temperatures)}
    pairs.add((settings.alpha, settings.temperature))
    ordered = sorted(pairs, key=lambda pair: (pair[0], -pair[1]))
    decodings, original_colorfulness = measure_decodings(model, val, ordered)
    path = find_path(decodings, original_colorfulness)
    path_pairs = [(point.alpha, point.temperature) for point in path]
    chosen = list(dict.fromkeys(path_pairs))
    tested = dict(zip(chosen, measure_decodings(model, test, chosen)[0], strict=True))
    return {
        "decodings": [decoding._asdict() for decoding in decodings],
        "val_original_colorfulness": original_colorfulness,
        "vividness": [point._asdict() for point in path],
        "test_vividness": [tested[pair]._asdict() for pair in path_pairs],
    }


@torch.no_grad()
def measure_decodings(
    model: Colorizer, images: Tensor, pairs: Sequence[tuple[float, float]]
) -> tuple[list[Decoding], float]:
    """Measure decodings. The network runs once per image.

    Args:
        model: A colorizer with the head "bins".
        images: Stored images, (N, 3, H, W) uint8.
        pairs: The alpha and the temperature of each decoding.

    Returns:
        The decodings in the order of `pairs`, and the mean colorfulness of the images.
    """
    averagers = [MetricAverager() for _ in pairs]
    originals = MetricAverager()
    for batch in images.split(metrics.METRIC_BATCH_SIZE):
        colorized = predict(model, batch)
        logits = colorized.prediction.logits
        assert logits is not None
        height, width = batch.shape[-2:]
        originals.update(
            {"colorfulness": metrics.colorfulness(colorized.true_rgb).mean()}, len(batch)
        )
        for (alpha, temperature), averager in zip(pairs, averagers, strict=True):
            ab = model.decode(logits, temperature, alpha)[..., :height, :width]
            rendered = gamut.render(colorized.L, ab)
            colorfulness = metrics.colorfulness(rendered).mean()
            means = {"mse": F.mse_loss(ab, colorized.true_ab), "colorfulness": colorfulness}
            averager.update(means, len(batch))
    decodings = [
        Decoding(alpha, temperature, **average([averager.totals()]))
        for (alpha, temperature), averager in zip(pairs, averagers, strict=True)
    ]
    return decodings, average([originals.totals()])["colorfulness"]
