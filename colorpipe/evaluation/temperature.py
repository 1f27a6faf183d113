"""The temperature of the annealed mean: what colors at each, from one pass of the network."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from colorpipe import metrics
from colorpipe.color import gamut
from colorpipe.evaluation.measure import PRECISION, PROTOCOL_BATCH
from colorpipe.evaluation.statistics import ColorStatistics
from colorpipe.models.base import Colorizer, Prediction
from colorpipe.tasks import colorization
from colorpipe.training import processes
from colorpipe.training.averages import MetricAverager
from colorpipe.training.batches import batches


@torch.no_grad()
def curve(model: Colorizer, images: Tensor, temperatures: Sequence[float]) -> list[dict[str, float]]:
    """ab MSE, colorfulness and AuC at each temperature, to choose one by: use validation images (N, 3, H, W) uint8."""
    averages = [MetricAverager() for _ in temperatures]
    statistics = [ColorStatistics(images.device) for _ in temperatures]
    for (batch,) in processes.deal(batches((images,), PROTOCOL_BATCH)):
        rgb, target, prediction = colorization.predict(model, batch, PRECISION)
        for temperature, average, colors in zip(temperatures, averages, statistics, strict=True):
            ab = redecode(model, prediction, temperature)
            rendered = gamut.render(target[:, :1], ab)
            means = {
                "mse": F.mse_loss(ab, target[:, 1:]),
                "colorfulness": metrics.colorfulness(rendered).mean(),
                "original_colorfulness": metrics.colorfulness(rgb).mean(),
            }
            average.update(means, len(batch))
            colors.update(ab, target[:, 1:])
    found = []
    for temperature, average, colors in zip(temperatures, averages, statistics, strict=True):
        colors.add_up()
        auc, rebalanced = colors.auc()
        found.append({"temperature": temperature, **average.means(), "auc": auc, "auc_rebalanced": rebalanced})
    return found


@torch.no_grad()
def renderings(model: Colorizer, images: Tensor, temperatures: Sequence[float]) -> dict[str, Tensor]:
    """Stored images (B, 3, H, W) uint8 colorized at each temperature: sRGB in 0..1 (B, 3, H, W), by the temperature."""
    _, target, prediction = colorization.predict(model, images, PRECISION)
    return {str(t): gamut.render(target[:, :1], redecode(model, prediction, t)) for t in temperatures}


def redecode(model: Colorizer, prediction: Prediction, temperature: float) -> Tensor:
    """The ab (B, 2, H, W) of a prediction's logits at another temperature."""
    assert prediction.logits is not None
    height, width = prediction.ab.shape[-2:]
    return model.decode(prediction.logits, temperature)[..., :height, :width]
