"""Linear probes: what a linear layer makes of frozen features, one for each stage of the encoder."""

import torch
import torch.nn.functional as F
from torch import nn

from colorpipe.tasks.supervised import SupervisedTask
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch


class ProbeTask(SupervisedTask):
    """Cross-entropy of each stage's layer; no layer has a weight or a gradient in common with another."""

    def __init__(self) -> None:
        super().__init__("float32")

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Of features (B, D) and labels (B,): the mean loss over stages, the last stage's accuracy, and those of each."""
        features, labels = batch
        found: Metrics = {}
        for stage, logits in model(features).items():
            found[f"{stage}_loss"] = F.cross_entropy(logits, labels)
            found[f"{stage}_accuracy"] = accuracy = (logits.detach().argmax(dim=1) == labels).double().mean()
        losses = [loss for name, loss in found.items() if name.endswith("_loss")]
        return {"loss": torch.stack(losses).mean(), "accuracy": accuracy, **found}
