"""All metrics of a colorizer on a test set, in one pass. docs/metrics.md defines them.

The paper's SSIM and PSNR (its "protocol") are computed by torchmetrics on the ab planes, with the data range of each batch
of 64. RGB metrics are of the rendered images.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from colorpipe import metrics
from colorpipe.color import bins, gamut
from colorpipe.evaluation import judge
from colorpipe.evaluation.statistics import ColorStatistics
from colorpipe.losses.base import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models.base import Prediction
from colorpipe.models.judge import Judge
from colorpipe.tasks import colorization
from colorpipe.training import loop, processes
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch

PROTOCOL_BATCH = 64  # images: the data range of the protocol's SSIM and PSNR is that of a batch
PRECISION = "float32"


class NoColor(nn.Module):
    """The trivial colorizer: a = b = 0 everywhere."""

    def predict(self, L: Tensor) -> Prediction:
        """Zeros for L (B, 1, H, W); of the bins it knows nothing: all are as likely."""
        count, _, height, width = L.shape
        logits = L.new_zeros(count, bins.COUNT, -(-height // 2), -(-width // 2))
        return Prediction(L.new_zeros(count, 2, height, width), logits)


@dataclass(frozen=True)
class Measured:
    """The means over a test set, the squared error of ab of each image (N,), and the shares of the ab bins (313,)."""

    means: dict[str, float]
    errors: Tensor
    histograms: dict[str, list[float]]  # of "predicted" and "original" pixels


class AllMetrics:
    """All metrics of a batch that are means over images; what takes all pixels is collected."""

    def __init__(self, loss: Loss, lpips: LPIPS, judging: Judge | None, device: torch.device) -> None:
        self.loss, self.lpips, self.judging = loss, lpips, judging
        self.errors: list[Tensor] = []
        self.statistics = ColorStatistics(device)

    def __call__(self, model: nn.Module, batch: Batch) -> Metrics:
        """The metrics of stored images (B, 3, H, W) uint8 and their labels (B,)."""
        images, labels = batch
        rgb, target, prediction = colorization.predict(model, images, PRECISION)
        _, _, mirrored = colorization.predict(model, images.flip(-1), PRECISION)
        predicted, ab = prediction.ab, target[:, 1:]
        flip_averaged = (predicted + mirrored.ab.flip(-1)) / 2
        image = gamut.render(target[:, :1], predicted)
        # Logits at this head's resolution, which a loss over the bins depends on.
        logits = prediction.logits
        nothing = Prediction(ab.new_zeros(ab.shape), None if logits is None else logits.new_zeros(logits.shape))
        squared = (predicted - ab).square()
        self.errors.append(squared.mean(dim=(1, 2, 3)))
        self.statistics.update(predicted, ab)
        found = {
            "loss": colorization.loss_of(self.loss, rgb, target, prediction, PRECISION),
            "no_color_loss": colorization.loss_of(self.loss, rgb, target, nothing, PRECISION),
            **protocol(predicted, ab),
            "mse": squared.mean(),
            "rgb_psnr": metrics.psnr(image, rgb).mean(),
            "rgb_ssim": metrics.ssim(image, rgb).mean(),
            "rgb_mae": metrics.mae(image, rgb).mean(),
            "lpips": self.lpips.distance(image, rgb).mean(),
            "colorfulness": metrics.colorfulness(image).mean(),
            "original_colorfulness": metrics.colorfulness(rgb).mean(),
            "flip_mse": F.mse_loss(flip_averaged, ab),
            **{f"flip_{name}": value for name, value in protocol(flip_averaged, ab).items()},
        }
        if self.judging:
            found["recognized"] = judge.accuracy(self.judging, image, labels)
            found["original_recognized"] = judge.accuracy(self.judging, rgb, labels)
        return found


def protocol(predicted: Tensor, target: Tensor) -> Metrics:
    """The paper's SSIM and PSNR of a batch of ab planes (B, 2, H, W), by torchmetrics.

    SSIM is the mean over images; its data range is the larger of max - min of the batch's prediction and of its target.
    PSNR is that of the squared error pooled over the batch, with the target's max - min. Both were torchmetrics' defaults
    in 2023.
    """
    data_range = (target.max() - target.min()).item()
    ssim = structural_similarity_index_measure(predicted, target)
    assert isinstance(ssim, Tensor)
    return {"ssim": ssim, "psnr": peak_signal_noise_ratio(predicted, target, data_range=data_range)}


def measure(model: nn.Module, loss: Loss, lpips: LPIPS, judging: Judge | None, test: Batch) -> Measured:
    """All metrics.

    Args:
        model: a colorizer, or no color.
        loss: reported as "loss"; that of no color as "no_color_loss".
        lpips: the distance to report.
        judging: the data set's judge, if it has classes.
        test: stored images (N, 3, H, W) uint8 and labels (N,).
    """
    step = AllMetrics(loss, lpips, judging, test[0].device)
    means = loop.evaluate(step, model, test, PROTOCOL_BATCH).means()
    step.statistics.add_up()
    means["auc"], means["auc_rebalanced"] = step.statistics.auc()
    means["histogram_divergence"] = step.statistics.divergence()
    means["colorfulness_distance"] = abs(means["colorfulness"] - means["original_colorfulness"])
    errors = torch.cat(processes.collect([batch.cpu() for batch in step.errors]))
    return Measured(means, errors, step.statistics.histograms())
