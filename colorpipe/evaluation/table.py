"""The table of metrics. JSON keys, column titles, the page and `make verify` follow from it.

A new metric needs an entry here, the function that computes it, and a line in docs/metrics.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from colorpipe import metrics
from colorpipe.color import gamut
from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.inference import Colorized, compute_loss
from colorpipe.losses.loss import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models.colorizer import Prediction


class TestBatch:
    """A colorized batch of test images, and the losses to report.

    Attributes:
        colorized: The images and their prediction.
        image: The rendered prediction as sRGB in [0, 1], (B, 3, H, W).
        loss: The loss that is reported as test.loss.
        lpips: The LPIPS distance.
    """

    __test__ = False  # not a test case of pytest

    def __init__(self, colorized: Colorized, loss: Loss, lpips: LPIPS) -> None:
        self.colorized, self.loss, self.lpips = colorized, loss, lpips
        self.image = gamut.render(colorized.L, colorized.prediction.ab)


@dataclass(frozen=True)
class Metric:
    """A metric of a colorizer on a test set.

    Attributes:
        key: Its key in metrics/<name>.json or evaluations/<name>.json. A dot stands for nesting.
        title: Its column in the report's tables, or "" if it has none.
        unit: Its unit or range.
        digits: Digits after the decimal point in the report's tables.
        better: Which of two values is better, or None if neither is.
        tolerance: Largest relative and absolute difference between two kinds of processor. The
            larger of the two counts.
        tracked: Whether it is in metrics/<name>.json, which DVC tracks.
        of_batch: Computes the mean over a batch.
        of_set: Computes the value of the whole test set, from the pixel statistics and from the
            means of the other metrics.
    """

    key: str
    title: str
    unit: str
    digits: int
    better: Literal["lower", "higher"] | None
    tolerance: tuple[float, float] = (0.0, 0.0)
    tracked: bool = False
    of_batch: Callable[[TestBatch], Tensor] | None = None
    of_set: Callable[[ColorStatistics, dict[str, float]], float] | None = None


def protocol_ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the paper's SSIM of a batch with torchmetrics: the mean over images.

    The data range is the larger of max - min of the predicted batch and of the target batch, which
    is torchmetrics' default.

    Args:
        predicted: Predicted ab in Lab units, (B, 2, H, W).
        target: True ab of the same shape.
    """
    ssim = structural_similarity_index_measure(predicted, target)
    assert isinstance(ssim, Tensor)
    return ssim


def protocol_psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the paper's PSNR of a batch in dB with torchmetrics.

    The squared error is pooled over the batch. The data range is max - min of the target batch,
    which was torchmetrics' default in 2023.

    Args:
        predicted: Predicted ab in Lab units, (B, 2, H, W).
        target: True ab of the same shape.
    """
    data_range = (target.max() - target.min()).item()
    return peak_signal_noise_ratio(predicted, target, data_range=data_range)


def baseline_loss(batch: TestBatch) -> Tensor:
    """Compute the loss of the gray baseline, with logits of the colorizer's resolution."""
    colorized = batch.colorized
    logits = colorized.prediction.logits
    uniform = None if logits is None else torch.zeros_like(logits)
    gray = Prediction(torch.zeros_like(colorized.ab), uniform)
    return compute_loss(batch.loss, colorized._replace(prediction=gray))


METRICS = (
    Metric(
        "test.loss", "test loss", "unit of the loss", 3, "lower", (1.5, 0.0), tracked=True,
        of_batch=lambda b: compute_loss(b.loss, b.colorized),
    ),
    Metric(
        "test.mse", "ab MSE", "Lab units squared", 1, "lower", (1.5, 0.0), tracked=True,
        of_batch=lambda b: (b.colorized.prediction.ab - b.colorized.ab).square().mean(),
    ),
    Metric(
        "test.ssim", "ab SSIM", "-1 to 1", 3, "higher", (0.0, 0.15), tracked=True,
        of_batch=lambda b: protocol_ssim(b.colorized.prediction.ab, b.colorized.ab),
    ),
    Metric(
        "test.psnr", "ab PSNR", "dB", 2, "higher", (0.0, 3.0), tracked=True,
        of_batch=lambda b: protocol_psnr(b.colorized.prediction.ab, b.colorized.ab),
    ),
    Metric(
        "rgb.psnr", "RGB PSNR", "dB", 2, "higher", (0.0, 3.0), tracked=True,
        of_batch=lambda b: metrics.psnr(b.image, b.colorized.rgb).mean(),
    ),
    Metric(
        "rgb.ssim", "RGB SSIM", "-1 to 1", 3, "higher",
        of_batch=lambda b: metrics.ssim(b.image, b.colorized.rgb).mean(),
    ),
    Metric(
        "rgb.mae", "RGB MAE", "%", 2, "lower",
        of_batch=lambda b: metrics.mae(b.image, b.colorized.rgb).mean(),
    ),
    Metric(
        "lpips", "LPIPS", "from 0", 4, "lower", (1.5, 0.0), tracked=True,
        of_batch=lambda b: b.lpips.distance(b.image, b.colorized.rgb).mean(),
    ),
    Metric(
        "colorfulness", "colorfulness", "from 0", 1, None, (0.5, 0.0), tracked=True,
        of_batch=lambda b: metrics.colorfulness(b.image).mean(),
    ),
    Metric(
        "original_colorfulness", "", "from 0", 1, None,
        of_batch=lambda b: metrics.colorfulness(b.colorized.rgb).mean(),
    ),
    Metric(
        "colorfulness_distance", "colorfulness distance", "from 0", 1, "lower",
        of_set=lambda _, means: abs(means["colorfulness"] - means["original_colorfulness"]),
    ),
    Metric(
        "auc", "AuC", "0 to 1", 3, "higher",
        of_set=lambda statistics, _: statistics.auc()[0],
    ),
    Metric(
        "auc_rebalanced", "AuC, re-balanced", "0 to 1", 3, "higher",
        of_set=lambda statistics, _: statistics.auc()[1],
    ),
    Metric(
        "histogram_divergence", "histogram divergence", "bits, 0 to 1", 3, "lower",
        of_set=lambda statistics, _: statistics.divergence(),
    ),
    Metric(
        "baseline_loss", "", "unit of the loss", 3, None,
        of_batch=baseline_loss,
    ),
    Metric("top1", "test accuracy", "0 to 1", 3, "higher", (0.0, 0.2), tracked=True),
)  # fmt: skip
