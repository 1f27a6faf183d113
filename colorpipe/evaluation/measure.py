"""All metrics of a colorizer on a test set, computed in one pass (see `evaluation.table`)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from colorpipe.color import bins
from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.evaluation.table import METRICS, TestBatch
from colorpipe.inference import MetricAverager, average, predict
from colorpipe.losses.loss import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models.colorizer import Prediction

PROTOCOL_BATCH = 64  # images that share the data range of the paper's SSIM and PSNR


class GrayBaseline(nn.Module):
    """The colorizer that predicts a = b = 0 for every pixel."""

    def predict(self, L: Tensor) -> Prediction:
        """Return zero ab and uniform logits over the color bins for L (B, 1, H, W)."""
        count, _, height, width = L.shape
        logits = L.new_zeros(count, bins.COUNT, -(-height // 2), -(-width // 2))
        return Prediction(L.new_zeros(count, 2, height, width), logits)


@dataclass(frozen=True)
class Measurement:
    """The metrics of a colorizer on a test set of N images.

    Attributes:
        metrics: The value of each metric, by its key in `evaluation.table`.
        errors: The ab MSE of each image, (N,).
        histograms: Shares of the color bins (313,) in the "predicted" and the "original" pixels.
    """

    metrics: dict[str, float]
    errors: Tensor
    histograms: dict[str, list[float]]


@torch.no_grad()
def measure(model: nn.Module, loss: Loss, lpips: LPIPS, images: Tensor) -> Measurement:
    """Compute all metrics of a colorizer on a test set.

    Args:
        model: A colorizer in eval mode, or the gray baseline.
        loss: The loss to report as "test.loss", and as "baseline_loss" for the gray baseline.
        lpips: The LPIPS distance to report.
        images: Stored test images, (N, 3, H, W) uint8.
    """
    averager, statistics, errors = MetricAverager(), ColorStatistics(images.device), []
    batches = images.split(PROTOCOL_BATCH)
    for stored in tqdm(batches, "testing", unit="batch", leave=False, disable=None):
        batch = TestBatch(predict(model, stored), loss, lpips)
        predicted, ab = batch.colorized.prediction.ab, batch.colorized.ab
        errors.append((predicted - ab).square().mean(dim=(1, 2, 3)))
        statistics.update(predicted, ab)
        means = {metric.key: metric.of_batch(batch) for metric in METRICS if metric.of_batch}
        averager.update(means, len(stored))
    metrics = average([averager.totals()])
    metrics |= {m.key: m.of_set(statistics, metrics) for m in METRICS if m.of_set}
    return Measurement(metrics, torch.cat(errors).cpu(), statistics.histograms())
