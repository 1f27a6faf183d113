"""The averages of metrics over images that are measured batch by batch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from colorpipe.evaluation.color_statistics import ColorStatistics
from colorpipe.evaluation.table import Metric
from colorpipe.inference import MetricAverager, average

if TYPE_CHECKING:
    from colorpipe.evaluation.measure import EvaluationBatch


class Averages:
    """The averages of metrics over images.

    Args:
        metrics: The entries of `evaluation.table` to compute.
        device: The device of the images.
    """

    def __init__(self, metrics: Sequence[Metric], device: torch.device) -> None:
        self.metrics = metrics
        self.averager, self.statistics = MetricAverager(), ColorStatistics(device)

    @property
    def count(self) -> int:
        """The number of images."""
        return self.averager.count

    def update(self, batch: "EvaluationBatch") -> None:
        """Add a batch of images."""
        self.statistics.update(batch.predicted_ab, batch.true_ab)
        means = {m.key: m.batch_value(batch) for m in self.metrics if m.batch_value}
        self.averager.update(means, len(batch.true_rgb))

    def compute(self) -> dict[str, float]:
        """Return the value of each metric by its key."""
        values = average([self.averager.totals()])
        return values | {
            m.key: m.test_set_value(self.statistics, values)
            for m in self.metrics
            if m.test_set_value
        }
