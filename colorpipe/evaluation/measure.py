"""All metrics of a colorizer on a test set, computed in one pass (see `evaluation.table`)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from tqdm import tqdm

from colorpipe.color import bins, gamut
from colorpipe.evaluation.averages import Averages
from colorpipe.evaluation.table import METRICS
from colorpipe.inference import Colorized, compute_loss, predict
from colorpipe.losses.loss import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.metrics import METRIC_BATCH_SIZE
from colorpipe.models.colorizer import Prediction


class GrayBaseline(nn.Module):
    """The colorizer that predicts a = b = 0 for every pixel."""

    def forward(self, L: Tensor) -> Prediction:
        """Return zero ab and uniform logits over the color bins for L (B, 1, H, W)."""
        count, _, height, width = L.shape
        logits = L.new_zeros(count, bins.COUNT, -(-height // 2), -(-width // 2))
        return Prediction(L.new_zeros(count, 2, height, width), logits)


class EvaluationBatch:
    """A colorized batch of test images.

    Attributes:
        true_rgb: The true images as sRGB in [0, 1], (B, 3, H, W).
        true_ab: The true ab in Lab units, (B, 2, H, W).
        predicted_rgb: The rendered prediction as sRGB in [0, 1], (B, 3, H, W).
        predicted_ab: The predicted ab in Lab units, (B, 2, H, W).
    """

    true_rgb: Tensor
    true_ab: Tensor
    predicted_rgb: Tensor
    predicted_ab: Tensor

    def __init__(self, colorized: Colorized, loss: Loss, lpips: LPIPS) -> None:
        self.colorized, self.loss, self.lpips = colorized, loss, lpips
        self.true_rgb, self.true_ab = colorized.true_rgb, colorized.true_ab
        self.predicted_ab = colorized.prediction.ab
        self.predicted_rgb = gamut.render(colorized.L, self.predicted_ab)

    def compute_loss(self) -> Tensor:
        """Compute the loss to report."""
        return compute_loss(self.loss, self.colorized)

    def compute_baseline_loss(self) -> Tensor:
        """Compute the loss of the gray baseline, with logits of the colorizer's resolution."""
        logits = self.colorized.prediction.logits
        uniform = None if logits is None else torch.zeros_like(logits)
        gray = Prediction(torch.zeros_like(self.true_ab), uniform)
        return compute_loss(self.loss, self.colorized._replace(prediction=gray))

    def compute_lpips(self) -> Tensor:
        """Compute the LPIPS distance of the rendered prediction, the mean over images."""
        return self.lpips.distance(self.predicted_rgb, self.true_rgb).mean()

    def compute_ab_ssim(self) -> Tensor:
        """Compute the paper's SSIM with torchmetrics, the mean over images.

        The data range is max - min of the predicted or of the target batch, whichever is larger, as
        torchmetrics computes it by default.
        """
        ssim = structural_similarity_index_measure(self.predicted_ab, self.true_ab)
        assert isinstance(ssim, Tensor)
        return ssim

    def compute_ab_psnr(self) -> Tensor:
        """Compute the paper's PSNR in dB with torchmetrics.

        The squared error is pooled over the batch. The data range is max - min of the target batch,
        which was torchmetrics' default in 2023.
        """
        data_range = (self.true_ab.max() - self.true_ab.min()).item()
        return peak_signal_noise_ratio(self.predicted_ab, self.true_ab, data_range=data_range)


@dataclass(frozen=True)
class Measurement:
    """The metrics of a colorizer on a test set of N images.

    Attributes:
        metrics: The value of each metric, by its key in `evaluation.table`.
        errors: The ab MSE of each image, (N,).
    """

    metrics: dict[str, float]
    errors: Tensor


@torch.no_grad()
def measure(model: nn.Module, loss: Loss, lpips: LPIPS, images: Tensor) -> Measurement:
    """Compute all metrics of a colorizer on a test set.

    Args:
        model: A colorizer in eval mode, or the gray baseline.
        loss: The loss to report as "test.loss", and as "baseline_loss" for the gray baseline.
        lpips: The LPIPS distance to report.
        images: Stored test images, (N, 3, H, W) uint8.
    """
    averages, errors = Averages(METRICS, images.device), []
    batches = images.split(METRIC_BATCH_SIZE)
    for stored in tqdm(batches, "testing", unit="batch", leave=False, disable=None):
        batch = EvaluationBatch(predict(model, stored), loss, lpips)
        errors.append((batch.predicted_ab - batch.true_ab).square().mean(dim=(1, 2, 3)))
        averages.update(batch)
    return Measurement(averages.compute(), torch.cat(errors).cpu())
