"""The table of metrics: the JSON keys, the report's tables and the tolerances of `make verify`.

docs/extending.md says how to add a metric.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from colorpipe import metrics

if TYPE_CHECKING:
    from colorpipe.evaluation.color_statistics import ColorStatistics
    from colorpipe.evaluation.measure import EvaluationBatch


@dataclass(frozen=True)
class Metric:
    """A metric of a model on a test set.

    Attributes:
        key: Its key in metrics/<name>.json or evaluations/<name>.json. For example,
            "test.loss" is `loss` in the section `test`.
        title: Its column in the report's tables.
        table: The table of the report that has the column, or "" if none has it.
        unit: Its unit or its range.
        digits: Digits after the decimal point in the report. None is for losses, which have two
            digits from 10 on, and four below.
        better: Which of two values is better, or None if neither is.
        tolerance: Largest difference between two kinds of processor, relative and absolute. The
            larger of the two counts. It is for training runs whose learning rate falls to zero (see
            `experiments.verify`).
        tracked: Whether it is in metrics/<name>.json, which DVC tracks.
        batch_value: Function that computes the mean over the images of a batch.
        test_set_value: Function that computes the value of the test set, from the pixel statistics
            and from the means of the other metrics.
    """

    key: str
    title: str
    table: Literal["results", "colors", ""]
    unit: str
    digits: int | None
    better: Literal["lower", "higher"] | None
    tolerance: tuple[float, float] = (0.0, 0.0)
    tracked: bool = False
    batch_value: "Callable[[EvaluationBatch], Tensor] | None" = None
    test_set_value: "Callable[[ColorStatistics, dict[str, float]], float] | None" = None


METRICS = (
    Metric(
        "test.loss", "test loss", "results", "unit of the loss", None, "lower", (0.1, 0.0),
        tracked=True,
        batch_value=lambda batch: batch.compute_loss(),
    ),
    Metric(
        "test.ssim", "ab SSIM", "results", "-1 to 1", 3, "higher", (0.0, 0.05), tracked=True,
        batch_value=lambda batch: batch.compute_ab_ssim(),
    ),
    Metric(
        "test.psnr", "ab PSNR", "results", "dB", 2, "higher", (0.0, 1.0), tracked=True,
        batch_value=lambda batch: batch.compute_ab_psnr(),
    ),
    Metric(
        "test.mse", "ab MSE", "results", "squared Lab units", 1, "lower", (0.15, 0.0), tracked=True,
        batch_value=lambda batch: (batch.predicted_ab - batch.true_ab).square().mean(),
    ),
    Metric(
        "rgb.ssim", "RGB SSIM", "results", "-1 to 1", 3, "higher",
        batch_value=lambda batch: metrics.ssim(batch.predicted_rgb, batch.true_rgb).mean(),
    ),
    Metric(
        "rgb.psnr", "RGB PSNR", "results", "dB", 2, "higher", (0.0, 0.7), tracked=True,
        batch_value=lambda batch: metrics.psnr(batch.predicted_rgb, batch.true_rgb).mean(),
    ),
    Metric(
        "colorfulness", "colorfulness", "results", "from 0", 1, None, (0.15, 0.0), tracked=True,
        batch_value=lambda batch: metrics.colorfulness(batch.predicted_rgb).mean(),
    ),
    Metric(
        "auc", "AuC", "colors", "0 to 1", 3, "higher",
        test_set_value=lambda statistics, _: statistics.auc()[0],
    ),
    Metric(
        "auc_rebalanced", "AuC re-balanced", "colors", "0 to 1", 3, "higher",
        test_set_value=lambda statistics, _: statistics.auc()[1],
    ),
    Metric(
        "lpips", "LPIPS", "colors", "from 0", 4, "lower", (0.15, 0.0), tracked=True,
        batch_value=lambda batch: batch.compute_lpips(),
    ),
    Metric(
        "rgb.mae", "RGB MAE", "colors", "% of the range", 2, "lower",
        batch_value=lambda batch: metrics.mae(batch.predicted_rgb, batch.true_rgb).mean(),
    ),
    Metric(
        "colorfulness_distance", "colorfulness distance", "colors", "from 0", 1, "lower",
        test_set_value=lambda _, means: abs(means["colorfulness"] - means["original_colorfulness"]),
    ),
    Metric(
        "histogram_divergence", "histogram divergence", "colors", "bits, 0 to 1", 3, "lower",
        test_set_value=lambda statistics, _: statistics.divergence(),
    ),
    Metric(
        "original_colorfulness", "original colorfulness", "", "from 0", 1, None,
        batch_value=lambda batch: metrics.colorfulness(batch.true_rgb).mean(),
    ),
    Metric(
        "baseline_loss", "gray baseline's loss", "", "unit of the loss", None, None,
        batch_value=lambda batch: batch.compute_baseline_loss(),
    ),
    Metric("top1", "test accuracy", "", "0 to 1", 3, "higher", (0.0, 0.03), tracked=True),
)  # fmt: skip
