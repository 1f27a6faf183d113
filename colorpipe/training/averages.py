"""Means of metrics over images, from means over batches of different sizes."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from colorpipe.training import processes
from colorpipe.training.state import EpochMetrics

Metrics = dict[str, Tensor]  # scalars: means over a batch


class MetricAverager:
    """Means over all images of a set, of the batches of all processes."""

    def __init__(self) -> None:
        self.sums: list[Metrics] = []  # one entry per batch
        self.count = 0

    def update(self, means: Mapping[str, Tensor], size: int) -> None:
        """Add the means over a batch of `size` images. Nothing is read from the device."""
        self.sums.append({name: mean.detach().double() * size for name, mean in means.items()})
        self.count += size

    def means(self, prefix: str = "") -> EpochMetrics:
        """Return the means over all images, with `prefix` before each name.

        The sums are rounded correctly, so the order of the batches is irrelevant.
        """
        names = self.sums[0] if self.sums else {}
        own = {name: torch.stack([sums[name] for sums in self.sums]).tolist() for name in names}
        gathered = processes.gather((own, self.count))
        count = sum(images for _, images in gathered)
        return {
            prefix + name: math.fsum(v for sums, _ in gathered for v in sums.get(name, ())) / count
            for name in gathered[0][0]
        }
