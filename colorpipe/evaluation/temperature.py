"""Metrics of a color-classification colorizer at several softmax temperatures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from colorpipe import metrics
from colorpipe.color import gamut
from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.evaluation.measure import PRECISION, PROTOCOL_BATCH
from colorpipe.models.colorizer import Colorizer
from colorpipe.training import colorization, processes
from colorpipe.training.averages import MetricAverager
from colorpipe.training.batches import batches


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
    averages = [MetricAverager() for _ in temperatures]
    statistics = [ColorStatistics(images.device) for _ in temperatures]
    for (batch,) in processes.deal(batches((images,), PROTOCOL_BATCH)):
        rgb, target, prediction = colorization.predict(model, batch, PRECISION)
        assert prediction.logits is not None
        height, width = batch.shape[-2:]
        for temperature, average, colors in zip(temperatures, averages, statistics, strict=True):
            ab = model.decode(prediction.logits, temperature)[..., :height, :width]
            rendered = gamut.render(target[:, :1], ab)
            means = {
                "mse": F.mse_loss(ab, target[:, 1:]),
                "colorfulness": metrics.colorfulness(rendered).mean(),
                "original_colorfulness": metrics.colorfulness(rgb).mean(),
            }
            average.update(means, len(batch))
            colors.update(ab, target[:, 1:])
    rows = []
    for temperature, average, colors in zip(temperatures, averages, statistics, strict=True):
        colors.add_up()
        auc, rebalanced = colors.auc()
        scores = {**average.means(), "auc": auc, "auc_rebalanced": rebalanced}
        rows.append({"temperature": temperature, **scores})
    return rows
