"""Metrics of a color-classification colorizer at several softmax temperatures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from colorpipe import metrics
from colorpipe.color import gamut
from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.evaluation.measure import PROTOCOL_BATCH
from colorpipe.inference import MetricAverager, average, predict
from colorpipe.models.colorizer import Colorizer


@torch.no_grad()
def measure_temperatures(
    model: Colorizer, images: Tensor, temperatures: Sequence[float]
) -> list[dict[str, float]]:
    """Return ab MSE, colorfulness and AuC at each temperature. The network runs once per image.

    Args:
        model: A colorizer with the head "bins".
        images: Stored validation images, (N, 3, H, W) uint8.
        temperatures: Softmax temperatures to decode at.
    """
    averagers = [MetricAverager() for _ in temperatures]
    statistics = [ColorStatistics(images.device) for _ in temperatures]
    for batch in images.split(PROTOCOL_BATCH):
        colorized = predict(model, batch)
        logits = colorized.prediction.logits
        assert logits is not None
        height, width = batch.shape[-2:]
        for temperature, averager, colors in zip(temperatures, averagers, statistics, strict=True):
            ab = model.decode(logits, temperature)[..., :height, :width]
            rendered = gamut.render(colorized.L, ab)
            of_batch = {
                "mse": F.mse_loss(ab, colorized.ab),
                "colorfulness": metrics.colorfulness(rendered).mean(),
                "original_colorfulness": metrics.colorfulness(colorized.rgb).mean(),
            }
            averager.update(of_batch, len(batch))
            colors.update(ab, colorized.ab)
    rows = []
    for temperature, averager, colors in zip(temperatures, averagers, statistics, strict=True):
        auc, rebalanced = colors.auc()
        means = average([averager.totals()])
        scores = {**means, "auc": auc, "auc_rebalanced": rebalanced}
        rows.append({"temperature": temperature, **scores})
    return rows
