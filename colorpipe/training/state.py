"""The state of a training run, saved and restored together, and the rule for the best epoch."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from colorpipe.training import processes
from colorpipe.training.optim import WeightAverage

EpochMetrics = dict[str, float]  # epoch, train_<metric>..., val_<metric>...
MODEL = "model"  # the model that is trained
AVERAGE = "average"  # the average of its weights (`optim.WeightAverage`), if there is one


@dataclass
class TrainState:
    """Models, optimizers, schedules, random generators, the history and the best weights.

    A task can add entries to the dictionaries, for example a discriminator with its optimizer. They
    are saved and restored with the rest.
    """

    models: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    schedulers: dict[str, torch.optim.lr_scheduler.LRScheduler] = field(default_factory=dict)
    generators: dict[str, torch.Generator] = field(default_factory=dict)
    history: list[EpochMetrics] = field(default_factory=list)
    best_epoch: int = 0
    best_selection: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    wrapped: dict[str, nn.Module] = field(default_factory=dict)  # see `wrapped_model`

    @property
    def model(self) -> nn.Module:
        """The model that is evaluated and saved: the weight average if there is one."""
        average = self.models.get(AVERAGE)
        return average.module if isinstance(average, WeightAverage) else self.models[MODEL]

    def wrapped_model(self, name: str) -> nn.Module:
        """Return the model to call in a training step. It averages gradients over all processes."""
        if name not in self.wrapped:
            self.wrapped[name] = processes.wrap(self.models[name])
        return self.wrapped[name]

    def step(self, name: str, loss: Tensor) -> None:
        """Step a model's optimizer, and then its schedule and its average if there are any.

        Args:
            name: The name of the model.
            loss: The loss of this process's part of a batch, computed with `wrapped_model(name)`.
        """
        self.models[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()
        if name in self.schedulers:
            self.schedulers[name].step()
        if name == MODEL and isinstance(average := self.models.get(AVERAGE), WeightAverage):
            average.update(self.models[MODEL])

    def append(self, metrics: EpochMetrics, selection: float) -> bool:
        """Add an epoch to the history.

        Returns:
            Whether the epoch's `selection` score is the lowest so far.
        """
        self.history.append(metrics)
        if not selection < self.best_selection:
            return False
        self.best_selection = selection
        self.best_epoch = len(self.history)
        state = self.model.state_dict()
        self.best = {name: tensor.detach().clone() for name, tensor in state.items()}
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values, for `torch.load(weights_only=True)`.

        The best weights are left out if they are the current ones.
        """
        return {
            "models": {name: model.state_dict() for name, model in self.models.items()},
            "optimizers": {name: item.state_dict() for name, item in self.optimizers.items()},
            "schedulers": {name: item.state_dict() for name, item in self.schedulers.items()},
            "generators": {name: item.get_state() for name, item in self.generators.items()},
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_selection": self.best_selection,
            "best": {} if self.best_epoch == len(self.history) else self.best,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the result of `state_dict` into a state with the same models and optimizers."""
        for group in ("models", "optimizers", "schedulers"):
            for name, target in getattr(self, group).items():
                target.load_state_dict(saved[group][name])
        for name, generator in self.generators.items():
            generator.set_state(saved["generators"][name])
        self.history[:] = saved["history"]
        self.best_epoch, self.best_selection = saved["best_epoch"], saved["best_selection"]
        current = self.model.state_dict()
        self.best = saved["best"] or {name: tensor.clone() for name, tensor in current.items()}
