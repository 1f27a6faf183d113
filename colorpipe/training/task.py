"""Train a task and write its files. `TrainingTask` has one model, one loss and one optimizer."""

import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from colorpipe import files, weights
from colorpipe.inference import Metrics
from colorpipe.runtime import machine
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.live import live_metrics
from colorpipe.training import loop, optim, processes, resume
from colorpipe.training.batches import Batch
from colorpipe.training.devices import print_training
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import AVERAGE, MODEL, EpochMetrics, TrainState


class TrainingTask(ABC):
    """A task whose `metrics` depend on the model and a batch. A subclass defines `metrics`."""

    loss_names: tuple[str, ...] = ("loss",)

    def __init__(self, precision: str) -> None:
        self.precision = precision

    @abstractmethod
    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return means over the batch, as scalars: "loss" with its gradient, and others."""

    def train_step(self, state: TrainState, batch: Batch) -> Metrics:
        """Take one step of the optimizer on the loss."""
        metrics = self.metrics(state.wrapped_model(MODEL), batch)
        state.step(MODEL, metrics["loss"])
        return metrics

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return the metrics of a batch."""
        return self.metrics(model, batch)

    def selection(self, epoch: EpochMetrics) -> float:
        """Return the validation loss."""
        return epoch["val_loss"]

    def metadata(self) -> dict[str, object]:
        """Return the task's own settings, for the weight files and the key of the checkpoint."""
        return {}

    def initial_state(
        self, model: nn.Module, settings: TrainSettings, images: Tensor
    ) -> TrainState:
        """Return the model with its optimizer, and with a schedule and an average if set."""
        optimizer = optim.build_optimizer(
            model,
            settings.optimizer,
            settings.lr,
            settings.weight_decay,
            encoder_lr_factor=settings.encoder_lr_factor,
        )
        state = TrainState({MODEL: model}, {MODEL: optimizer})
        steps = settings.steps(len(images))
        if schedule := optim.build_schedule(optimizer, settings.schedule, steps):
            state.schedulers[MODEL] = schedule
        if settings.ema:
            state.models[AVERAGE] = optim.WeightAverage(model, settings.ema)
        return state

    def compile(self, device: torch.device, process_count: int) -> None:
        """Compile `metrics` and its gradient. The optimizer is fused already and is not compiled.

        On a GPU, the kernels are replayed as CUDA graphs if there is one process. Each batch size
        is compiled separately.

        Args:
            device: The device of the model.
            process_count: Number of processes that share the training run.

        Raises:
            UserError: The device is a CPU and there is no C++ compiler, or it is a GPU and there is
                no C compiler.
        """
        # Inductor needs a C++ compiler on a CPU. Triton needs a C compiler for a GPU.
        variable, commands = ("CXX", ["g++"]) if device.type == "cpu" else ("CC", ["gcc", "clang"])
        compilers = [os.environ[variable]] if variable in os.environ else commands
        if not any(map(shutil.which, compilers)):
            raise UserError(
                f"compile=true needs a compiler: install {commands[0]} or set {variable}, or set "
                "the recipe's compile to false"
            )
        mode = "reduce-overhead" if process_count == 1 else "default"
        compiled = torch.compile(self.metrics, mode=mode, dynamic=False)

        def metrics(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
            # The metrics of the last step have been added up, so their memory can be used again.
            torch.compiler.cudagraph_mark_step_begin()
            return compiled(model, batch)

        self.metrics = metrics  # type: ignore[method-assign]


def train_task(
    name: str,
    task: TrainingTask,
    model: nn.Module,
    data: tuple[Batch, Batch],
    settings: TrainSettings,
    metadata: Mapping[str, object],
    inputs: Iterable[Path],
) -> None:
    """Train a model, and resume if an earlier process was killed.

    Write models/<name>/{best,last}.safetensors and curves/<name>.csv.

    Args:
        name: A colorizer, or "pretext/<init>-<mode>-<labels>".
        task: The task to train.
        model: The model, on the device of the data.
        data: The training set and the validation set.
        settings: How to train.
        metadata: Description of the training run. It goes into the weight files, together with the
            settings and the epoch's metrics.
        inputs: The files that the training run depends on.
    """
    device = data[0][0].device
    metadata = {**metadata, **task.metadata(), "train": vars(settings)}

    def save(which: str, epoch: EpochMetrics, tensors: Mapping[str, Tensor]) -> None:
        weights.save(files.weights_path(name, which), tensors, {**metadata, "epoch": epoch})

    state = task.initial_state(model, settings, data[0][0])
    if settings.compile:
        task.compile(device, settings.processes)
    print_training(name, model, len(data[0][0]), settings.epochs, settings.precision, device)
    if processes.rank() > 0:  # only rank 0 writes files
        loop.fit(task, state, *data, settings, lambda which, epoch, tensors: None)
        return
    with (
        resume.checkpointed(name, metadata, inputs) as checkpoint,
        live_metrics(files.LIVE, name) as log_live,
    ):

        def log(history: list[EpochMetrics]) -> None:
            files.write_history(files.curves_path(name), history)
            log_live(history[-1])

        loop.fit(task, state, *data, settings, save, log, checkpoint)
        # When the block ends, the checkpoint is deleted, so the record is written before.
        parameters = sum(parameter.numel() for parameter in model.parameters())
        facts = {
            "parameters": parameters,
            "threads": torch.get_num_threads(),
            "device": str(device),
        }
        record_run(files.curves_path(name), checkpoint.elapsed(), facts)


def record_run(result: Path, seconds: float, facts: Mapping[str, object]) -> None:
    """Record when, where, at which commit and in how many seconds a result was made.

    The record is in runs/, under the hash of the result.

    Args:
        result: The file with the training history.
        seconds: Duration of the training run.
        facts: What else to record.
    """
    times = {"seconds": seconds, "finished": time.strftime("%Y-%m-%d %H:%M:%S%z")}
    about = {**machine.describe_machine(), "commit": machine.find_commit()}
    files.write_json(files.run_record_path(result.read_bytes()), {**times, **facts, **about})
