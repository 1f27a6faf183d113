"""All metrics of a colorizer on a test set, computed in one pass. docs/metrics.md defines them.

torchmetrics computes the paper's SSIM and PSNR on the ab planes, with the data range of each batch
of 64 images. The RGB metrics are computed on the rendered images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from colorpipe import metrics
from colorpipe.color import bins, gamut
from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.losses.loss import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models.colorizer import Prediction
from colorpipe.training import colorization, loop, processes
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch

PROTOCOL_BATCH = 64  # images that share the data range of the paper's SSIM and PSNR
PRECISION = "float32"


class GrayBaseline(nn.Module):
    """The colorizer that predicts a = b = 0 for every pixel."""

    def predict(self, L: Tensor) -> Prediction:
        """Return zero ab and uniform logits over the color bins for L (B, 1, H, W)."""
        count, _, height, width = L.shape
        logits = L.new_zeros(count, bins.COUNT, -(-height // 2), -(-width // 2))
        return Prediction(L.new_zeros(count, 2, height, width), logits)


@dataclass(frozen=True)
class EvaluationResult:
    """The metrics of a colorizer on a test set of N images.

    Attributes:
        means: Each metric's mean over the images.
        errors: The ab MSE of each image, (N,).
        histograms: Shares of the color bins (313,) in the "predicted" and the "original" pixels.
    """

    means: dict[str, float]
    errors: Tensor
    histograms: dict[str, list[float]]


class MetricStep:
    """The metrics of a batch. Counts over all pixels are collected in `errors` and `statistics`."""

    def __init__(self, loss: Loss, lpips: LPIPS, device: torch.device) -> None:
        self.loss, self.lpips = loss, lpips
        self.errors: list[Tensor] = []
        self.statistics = ColorStatistics(device)

    def __call__(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return the metrics of stored images (B, 3, H, W) uint8, as means over the batch."""
        rgb, target, prediction = colorization.predict(model, batch[0], PRECISION)
        predicted, ab = prediction.ab, target[:, 1:]
        image = gamut.render(target[:, :1], predicted)
        # The baseline's logits have this colorizer's resolution, on which the loss depends.
        logits = prediction.logits
        gray = Prediction(
            torch.zeros_like(ab), None if logits is None else torch.zeros_like(logits)
        )
        squared = (predicted - ab).square()
        self.errors.append(squared.mean(dim=(1, 2, 3)))
        self.statistics.update(predicted, ab)
        return {
            "loss": colorization.loss_of(self.loss, rgb, target, prediction, PRECISION),
            "baseline_loss": colorization.loss_of(self.loss, rgb, target, gray, PRECISION),
            **protocol_metrics(predicted, ab),
            "mse": squared.mean(),
            "rgb_psnr": metrics.psnr(image, rgb).mean(),
            "rgb_ssim": metrics.ssim(image, rgb).mean(),
            "rgb_mae": metrics.mae(image, rgb).mean(),
            "lpips": self.lpips.distance(image, rgb).mean(),
            "colorfulness": metrics.colorfulness(image).mean(),
            "original_colorfulness": metrics.colorfulness(rgb).mean(),
        }


def protocol_metrics(predicted: Tensor, target: Tensor) -> Metrics:
    """Return the paper's SSIM and PSNR of a batch, computed by torchmetrics.

    SSIM is the mean over images. Its data range is the larger of max - min of the predicted batch
    and of the target batch. PSNR pools the squared error over the batch and uses max - min of the
    target batch. Both were torchmetrics' defaults in 2023.

    Args:
        predicted: Predicted ab in Lab units, (B, 2, H, W).
        target: True ab in Lab units, (B, 2, H, W).
    """
    data_range = (target.max() - target.min()).item()
    ssim = structural_similarity_index_measure(predicted, target)
    assert isinstance(ssim, Tensor)
    psnr = peak_signal_noise_ratio(predicted, target, data_range=data_range)
    return {"ssim": ssim, "psnr": psnr}


def measure(model: nn.Module, loss: Loss, lpips: LPIPS, images: Tensor) -> EvaluationResult:
    """Compute all metrics of a colorizer on a test set.

    Args:
        model: A colorizer, or the gray baseline.
        loss: The loss to report as "loss", and as "baseline_loss" for the gray baseline.
        lpips: The LPIPS distance to report.
        images: Stored test images, (N, 3, H, W) uint8.
    """
    step = MetricStep(loss, lpips, images.device)
    means = loop.evaluate(step, model, (images,), PROTOCOL_BATCH).means()
    step.statistics.add_up()
    means["auc"], means["auc_rebalanced"] = step.statistics.auc()
    means["histogram_divergence"] = step.statistics.divergence()
    distance = abs(means["colorfulness"] - means["original_colorfulness"])
    means["colorfulness_distance"] = distance
    errors = torch.cat(processes.collect([batch.cpu() for batch in step.errors]))
    return EvaluationResult(means, errors, step.statistics.histograms())
