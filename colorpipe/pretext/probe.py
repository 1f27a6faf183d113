"""Linear probes: a linear layer on the frozen features of each stage of an encoder."""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe.inference import Metrics
from colorpipe.training.batches import Batch
from colorpipe.training.state import EpochMetrics
from colorpipe.training.task import TrainingTask

MIN_DEVIATION = 1e-6  # a feature with a lower standard deviation is constant, and is not scaled


class LinearProbes(nn.Module):
    """One linear layer per stage.

    The features of all stages are concatenated to (B, D). They are standardized, so that stages of
    any scale train alike.

    Args:
        widths: Number of features of each stage.
        classes: Number of classes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: Mapping[str, int], classes: int) -> None:
        super().__init__()
        self.widths = dict(widths)
        layers = {name: nn.Linear(width, classes) for name, width in widths.items()}
        self.heads = nn.ModuleDict(layers)
        self.register_buffer("mean", torch.zeros(sum(widths.values())))
        self.register_buffer("deviation", torch.ones(sum(widths.values())))

    def standardize(self, features: Tensor) -> Self:
        """Set the mean and the standard deviation to those of the training features (N, D)."""
        self.mean.copy_(features.mean(dim=0))
        deviation = features.std(dim=0, correction=0)
        self.deviation.copy_(deviation.where(deviation > MIN_DEVIATION, 1.0))
        return self

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return each stage's logits (B, classes) for features (B, D)."""
        standardized = (features - self.mean) / self.deviation
        parts = standardized.split(list(self.widths.values()), dim=1)
        return {name: self.heads[name](part) for name, part in zip(self.widths, parts, strict=True)}


class ProbeTask(TrainingTask):
    """Training of `LinearProbes` with cross-entropy. The layers share no weights or gradients.

    Args:
        stage: The stage that selects the best epoch and is the result.
    """

    def __init__(self, stage: str) -> None:
        super().__init__("float32")
        self.stage = stage

    def selection(self, epoch: EpochMetrics) -> float:
        """Return the validation loss of the stage."""
        return epoch[f"val_{self.stage}_loss"]

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return loss and accuracy for features (B, D) and labels (B,), overall and by stage.

        "loss" is the mean over the stages. "accuracy" is that of `stage`.
        """
        features, labels = batch
        by_stage: Metrics = {}
        for stage, logits in model(features).items():
            by_stage[f"{stage}_loss"] = F.cross_entropy(logits, labels)
            is_correct = logits.detach().argmax(dim=1) == labels
            by_stage[f"{stage}_accuracy"] = is_correct.double().mean()
        losses = [loss for name, loss in by_stage.items() if name.endswith("_loss")]
        accuracy = by_stage[f"{self.stage}_accuracy"]
        return {"loss": torch.stack(losses).mean(), "accuracy": accuracy, **by_stage}
