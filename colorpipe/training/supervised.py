"""The usual training step: one model, one loss, one optimizer."""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from colorpipe import files, weights
from colorpipe.runtime import live
from colorpipe.runtime.errors import UserError
from colorpipe.training import loop, optim, processes, resume
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch
from colorpipe.training.devices import print_run
from colorpipe.training.settings import TrainSettings
from colorpipe.training.shards import Shards
from colorpipe.training.state import AVERAGE, MODEL, EpochMetrics, TrainState


class SupervisedTask(ABC):
    """A task whose `metrics` are a function of the model and a batch; a subclass defines them."""

    def __init__(self, precision: str) -> None:
        self.precision = precision

    @abstractmethod
    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Means over the batch, scalars: "loss" with its gradient, and others."""

    def train_step(self, state: TrainState, parts: Sequence[Batch]) -> list[Metrics]:
        """One step of the optimizer on the loss."""
        model = state.models[MODEL]
        found = state.shards.each(model, lambda part: self.metrics(model, part), parts)
        state.step(MODEL, [metrics["loss"] for metrics in found])
        return found

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """The metrics of a batch."""
        return self.metrics(model, batch)

    def selection(self, epoch: EpochMetrics) -> float:
        """What the best epoch has least of: the validation loss."""
        return epoch["val_loss"]

    def metadata(self) -> dict[str, object]:
        """What weight files and the key of a checkpoint hold of the task's own settings."""
        return {}

    def initial_state(
        self, model: nn.Module, settings: TrainSettings, images: Tensor
    ) -> TrainState:
        """The model with its optimizer and, as the settings ask, a schedule and an average of its weights."""
        optimizer = optim.build_optimizer(
            model, settings.optimizer, settings.lr, settings.weight_decay
        )
        state = TrainState({MODEL: model}, {MODEL: optimizer}, shards=Shards(settings.shards))
        if schedule := optim.build_schedule(
            optimizer, settings.schedule, settings.steps(len(images))
        ):
            state.schedulers[MODEL] = schedule
        if settings.ema:
            state.models[AVERAGE] = optim.WeightAverage(model, settings.ema)
        return state

    def compile(self, device: torch.device, parts: int) -> None:
        """Compile `metrics` and its gradient to fused kernels, on a GPU replayed as CUDA graphs, where a step has one part.

        The optimizer, fused already, stays outside. Each size of batch is compiled for itself. Raises UserError where there
        is no compiler for the CPU.
        """
        if device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
            raise UserError(
                "train.compile=true needs a C++ compiler on a CPU: install g++, or set train.compile=false"
            )
        fused = torch.compile(
            self.metrics, mode="reduce-overhead" if parts == 1 else "default", dynamic=False
        )

        def metrics(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
            torch.compiler.cudagraph_mark_step_begin()  # the last step's results have been added up: reuse their memory
            return fused(model, batch)

        self.metrics = metrics  # type: ignore[method-assign]


def train(
    name: str,
    task: SupervisedTask,
    model: nn.Module,
    data: tuple[Batch, Batch],
    settings: TrainSettings,
    metadata: Mapping[str, object],
    inputs: Iterable[Path],
) -> None:
    """Train, resumed where it was killed: writes models/<name>/{best,last}.safetensors and curves/<name>.csv.

    Args:
        name: a colorizer, "pretext/<init>-<mode>-<labels>" or "judge/<data>".
        task: what a step is.
        model: on the device of the data.
        data: the train and the validation set.
        settings: how to train.
        metadata: what describes the training; goes into the weight files, with the settings and the epoch's metrics.
        inputs: the files that the training depends on.
    """
    device = data[0][0].device
    metadata = {**metadata, **task.metadata(), "train": vars(settings)}

    def save(which: str, epoch: EpochMetrics) -> None:
        weights.save(
            files.checkpoint_path(name, which),
            state.model.state_dict(),
            {**metadata, "epoch": epoch},
        )

    state = task.initial_state(model, settings, data[0][0])
    if settings.compile:
        task.compile(device, len(state.shards.own))
    print_run(name, model, len(data[0][0]), settings.epochs, settings.precision, device)
    if processes.rank() > 0:  # which writes nothing
        loop.fit(task, state, *data, settings, lambda which, epoch: None)
        processes.wait()
        return
    with (
        resume.checkpointed(name, metadata, inputs) as checkpoint,
        live.logging(name, checkpoint.elapsed) as log,
    ):
        loop.fit(task, state, *data, settings, save, log, checkpoint)
    processes.wait()
