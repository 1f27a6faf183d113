"""Statistics over all pixels of a test set: the AuC of Zhang et al. and the color histogram."""

import torch
from torch import Tensor

from colorpipe import metrics
from colorpipe.color import bins


class ColorStatistics:
    """Pixel counts of a test set by color bin.

    The counts are whole numbers in float64, so the order in which batches are added is irrelevant.
    """

    def __init__(self, device: torch.device) -> None:
        zeros = torch.zeros(bins.COUNT, dtype=torch.float64, device=device)
        self.areas, self.originals, self.predictions = zeros, zeros.clone(), zeros.clone()

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Count a batch of predicted and true ab, (B, 2, H, W) each, in Lab units."""
        bin_numbers = bins.find_nearest(target.movedim(1, -1).flatten(0, 2))
        area = metrics.auc_area(predicted, target).flatten().double()
        # On a GPU, bincount with weights is not deterministic, and index_add is.
        self.areas = self.areas.index_add(0, bin_numbers, area)
        self.originals = self.originals + bin_numbers.bincount(minlength=bins.COUNT)
        self.predictions = self.predictions + bins.histogram(predicted)

    def auc(self) -> tuple[float, float]:
        """Return the raw and the re-balanced AuC, in [0, 1]. A perfect prediction has 1.

        The raw AuC is the mean over pixels. The re-balanced AuC weighs each pixel by 1 / (share of
        its bin). It equals the mean over the bins that occur in the originals.
        """
        occurs = self.originals > 0
        by_bin = self.areas[occurs] / self.originals[occurs]
        raw = self.areas.sum() / self.originals.sum()
        return float(raw) / metrics.AUC_FULL, float(by_bin.mean()) / metrics.AUC_FULL

    def divergence(self) -> float:
        """Return the Jensen-Shannon divergence of the predicted and the true bins in bits."""
        return metrics.jensen_shannon(self.predictions, self.originals)
