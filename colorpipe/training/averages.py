"""Means of metrics over images, of batches that differ in size and of all processes."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from colorpipe.training import processes
from colorpipe.training.state import EpochMetrics

Metrics = dict[str, Tensor]  # means over a batch, scalars


class MetricAverager:
    """Means over images of metrics that are means over batches; over the batches of all processes."""

    def __init__(self) -> None:
        self.sums: list[Metrics] = []  # over a batch each
        self.count = 0

    def update(self, means: Mapping[str, Tensor], size: int) -> None:
        """Add the means over a batch of `size` images; nothing is read from the device."""
        self.sums.append({name: mean.detach().double() * size for name, mean in means.items()})
        self.count += size

    def means(self, prefix: str = "") -> EpochMetrics:
        """The means over all images. Their sums are correctly rounded, so the order of the batches does not matter."""
        names = self.sums[0] if self.sums else {}
        own = {name: torch.stack([sums[name] for sums in self.sums]).tolist() for name in names}
        everyone = processes.gather((own, self.count))
        count = sum(images for _, images in everyone)
        means: EpochMetrics = {}
        for name in everyone[0][0]:
            means[prefix + name] = (
                math.fsum(value for sums, _ in everyone for value in sums.get(name, ())) / count
            )
        return means
