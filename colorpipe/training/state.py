"""What changes in a training run, saved and restored as one; and the rule for the best epoch (`append`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from colorpipe.training import processes
from colorpipe.training.optim import WeightAverage
from colorpipe.training.shards import Shards

EpochMetrics = dict[str, float]  # epoch, train_<metric>..., val_<metric>...
MODEL = "model"  # the model that is trained
AVERAGE = "average"  # the average of its weights, where one is kept (`optim.WeightAverage`)


@dataclass
class TrainState:
    """Models, what trains them, the history so far, and the weights of the best epoch.

    Whatever a task adds to one of the dictionaries (a discriminator, a second optimizer, a schedule, an average of the
    weights) is resumed with the rest.
    """

    models: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    schedulers: dict[str, torch.optim.lr_scheduler.LRScheduler] = field(default_factory=dict)
    generators: dict[str, torch.Generator] = field(default_factory=dict)
    shards: Shards = field(default_factory=Shards)
    history: list[EpochMetrics] = field(default_factory=list)
    best_epoch: int = 0
    best_selection: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def model(self) -> nn.Module:
        """The model that is evaluated, and whose weights are the result: the average, where one is kept."""
        average = self.models.get(AVERAGE)
        return average.module if isinstance(average, WeightAverage) else self.models[MODEL]

    def step(self, name: str, losses: Sequence[Tensor]) -> None:
        """One step of a model's optimizer, then of its schedule and its average, where there are any.

        It follows the mean of the gradients of all parts of a batch; `losses` are those of this process's parts.
        """
        self.shards.backward(self.models[name], losses)
        self.optimizers[name].step()
        if name in self.schedulers:
            self.schedulers[name].step()
        if name == MODEL and isinstance(average := self.models.get(AVERAGE), WeightAverage):
            average.update(self.models[MODEL])

    def share(self) -> None:
        """Give all processes what rank 0 has in buffers: running statistics, its own first part's."""
        processes.share_tensors(
            buffer for model in self.models.values() for buffer in model.buffers()
        )

    def append(self, metrics: EpochMetrics, selection: float) -> bool:
        """Add an epoch to the history. True where it is the best: its `selection` is lower than that of all before.

        `selection` is the validation loss, where the task has no other rule.
        """
        self.history.append(metrics)
        if not selection < self.best_selection:
            return False
        self.best_selection = selection
        self.best_epoch = len(self.history)
        self.best = {
            name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()
        }
        return True

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain values that `torch.load(weights_only=True)` accepts."""
        return {
            "models": {name: model.state_dict() for name, model in self.models.items()},
            "optimizers": {
                name: optimizer.state_dict() for name, optimizer in self.optimizers.items()
            },
            "schedulers": {
                name: scheduler.state_dict() for name, scheduler in self.schedulers.items()
            },
            "generators": {
                name: generator.get_state() for name, generator in self.generators.items()
            },
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_selection": self.best_selection,
            "best": {}
            if self.best_epoch == len(self.history)
            else self.best,  # else the model's weights
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, into a state of the same models and optimizers."""
        for group in ("models", "optimizers", "schedulers"):
            for name, target in getattr(self, group).items():
                target.load_state_dict(saved[group][name])
        for name, generator in self.generators.items():
            generator.set_state(saved["generators"][name])
        self.history[:] = saved["history"]
        self.best_epoch, self.best_selection = saved["best_epoch"], saved["best_selection"]
        self.best = saved["best"] or {
            name: tensor.clone() for name, tensor in self.model.state_dict().items()
        }
