"""What takes the pixels of a whole test set: the area under the error curve (AuC), and the histogram over the ab bins."""

import torch
from torch import Tensor

from colorpipe import metrics
from colorpipe.color import bins
from colorpipe.training import processes


class ColorStatistics:
    """Counts of a test set's pixels, by bin; whole numbers in float64, so that their order does not matter."""

    def __init__(self, device: torch.device) -> None:
        zeros = torch.zeros(bins.COUNT, dtype=torch.float64, device=device)
        self.areas, self.originals, self.predictions = zeros, zeros.clone(), zeros.clone()

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Count a batch of predicted and true ab, (B, 2, H, W) each, in Lab units."""
        number = bins.nearest(target.movedim(1, -1).flatten(0, 2))
        area = metrics.within(predicted, target).flatten().double()
        self.areas = self.areas + number.bincount(area, minlength=bins.COUNT)
        self.originals = self.originals + number.bincount(minlength=bins.COUNT)
        self.predictions = self.predictions + bins.histogram(predicted)

    def add_up(self) -> None:
        """Add the counts of the other processes that share the test."""
        counts = processes.gather(torch.stack((self.areas, self.originals, self.predictions)).cpu())
        self.areas, self.originals, self.predictions = sum(counts[1:], counts[0]).to(self.areas.device)

    def auc(self) -> tuple[float, float]:
        """AuC, 0..1, 1 for the truth: raw, the mean over pixels; and re-balanced, each pixel by 1 / the share of its bin.

        Re-balanced is the mean over the bins that occur in the originals, so a rare color counts as much as gray.
        """
        occurs = self.originals > 0
        by_bin = self.areas[occurs] / self.originals[occurs]
        raw = self.areas.sum() / self.originals.sum()
        return float(raw) / metrics.AUC_FULL, float(by_bin.mean()) / metrics.AUC_FULL

    def histograms(self) -> dict[str, list[float]]:
        """The share of each bin among the predicted and the original pixels, (313,) each."""
        both = {"predicted": self.predictions, "original": self.originals}
        return {name: (counts / counts.sum()).tolist() for name, counts in both.items()}

    def divergence(self) -> float:
        """The Jensen-Shannon divergence of the predictions' histogram from the originals', in bits, 0..1."""
        return metrics.jensen_shannon(self.predictions, self.originals)
