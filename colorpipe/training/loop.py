"""The training loop: epochs, batches, the best epoch, history and resume. What a step is, a task knows.

The whole set stays on the device as uint8; a batch is an index into it, and a step works on whole batches, or on this
process's parts of them (`shards`). Nothing in a step waits for the device: sums are read once an epoch.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from colorpipe.runtime.errors import UserError, is_out_of_memory, one_line
from colorpipe.training import processes
from colorpipe.training.augment import random_flip, random_shift
from colorpipe.training.averages import MetricAverager, Metrics
from colorpipe.training.batches import Batch, batches
from colorpipe.training.resume import Checkpoint
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import EpochMetrics, TrainState

EvalStep = Callable[[nn.Module, Batch], Metrics]
CHECKED_EVERY = 50  # steps
ORDER, AUGMENT = (
    "order",
    "augment",
)  # the generators of the order of the images, and of how they are mirrored and shifted


class Task(Protocol):
    """What a training step is."""

    def train_step(self, state: TrainState, parts: Sequence[Batch]) -> list[Metrics]:
        """Forward, and `state.step` for each optimizer that the task has, on this process's parts of a batch.

        The metrics of each part include "loss".
        """

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """Metrics of a batch, without a gradient; they include "loss"."""

    def selection(self, epoch: EpochMetrics) -> float:
        """What the best epoch has least of, of its metrics: for most tasks the validation loss."""


def fit(
    task: Task,
    state: TrainState,
    train: Batch,
    val: Batch,
    settings: TrainSettings,
    save: Callable[[str, EpochMetrics], None],
    log: Callable[[list[EpochMetrics]], None] = lambda history: None,
    checkpoint: Checkpoint | None = None,
) -> list[EpochMetrics]:
    """Train in place.

    Args:
        task: what a step is.
        state: models and optimizers; the loop adds its generators.
        train: the train set as tensors (N, ...) of equal length, on the device.
        val: the validation set, likewise.
        settings: epochs, batch size, seed.
        save: called with "best" and the epoch's metrics whenever `task.selection` is a new minimum, and with "last" at the
            end; the weights are those of `state.model`.
        log: called with the history after each epoch.
        checkpoint: to resume from, and to save to after each epoch; of several processes, rank 0 has it.

    Returns:
        The history, one row per epoch: epoch, train_<metric>..., val_<metric>... Training metrics are taken while the
        weights change, validation metrics at the end of the epoch.

    Raises:
        UserError: the loss is not finite, or memory ran out.
    """
    check_size(len(train[0]), settings.shards)
    for name in (ORDER, AUGMENT):
        state.generators[name] = torch.Generator(train[0].device).manual_seed(settings.seed)
    if resumed(state, checkpoint):
        for epoch in range(1, len(state.history) + 1):
            log(state.history[:epoch])
        save_best(state, save)
    with naming_memory_errors(settings):
        while len(state.history) < settings.epochs:
            metrics = run_epoch(task, state, train, val, settings)
            is_best = state.append(metrics, task.selection(metrics))
            print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()), flush=True)
            log(state.history)
            if is_best:
                save("best", metrics)
            if (
                checkpoint and len(state.history) < settings.epochs
            ):  # after the last epoch there is nothing to resume
                checkpoint.save(state)
    save("last", state.history[-1])
    return state.history


def check_size(images: int, shards: int) -> None:
    """Raises UserError for a train set that is too small to train on."""
    if images < 2 * shards:
        raise UserError(
            f"cannot train on {images} image(s): BatchNorm needs two in each part of a batch (train.shards: {shards}); "
            "lower val_size, or add images"
        )


def resumed(state: TrainState, checkpoint: Checkpoint | None) -> bool:
    """Restore the state from the checkpoint that rank 0 has, in all processes; False where there is none."""
    found = checkpoint is not None and checkpoint.restore(state)
    saved = processes.share(state.state_dict() if found and processes.count() > 1 else None)
    if saved and checkpoint is None:
        state.load_state_dict(saved)
    return found or saved is not None


def run_epoch(
    task: Task, state: TrainState, train: Batch, val: Batch, settings: TrainSettings
) -> EpochMetrics:
    """Train for an epoch and validate. Raises UserError where a loss is not finite."""
    epoch = len(state.history) + 1
    metrics = {
        "epoch": epoch,
        **train_epoch(task, state, train, settings).means("train_"),
        **evaluate(task.eval_step, state.model, val, settings.batch_size).means("val_"),
    }
    if not math.isfinite(metrics["val_loss"]):
        raise not_finite(f"the validation loss is {metrics['val_loss']} in epoch {epoch}", settings)
    return metrics


def train_epoch(
    task: Task, state: TrainState, train: Batch, settings: TrainSettings
) -> MetricAverager:
    """One pass over the train set. Raises UserError as soon as the loss is not finite."""
    for model in state.models.values():
        model.train()
    epoch = len(state.history) + 1
    order = torch.randperm(len(train[0]), generator=state.generators[ORDER], device=train[0].device)
    averager, guard = MetricAverager(), NonFiniteGuard(epoch, settings)
    title = f"epoch {epoch}/{settings.epochs}"
    for batch in batches(train, settings.batch_size, order, title, least=2 * settings.shards):
        if settings.flips:
            batch = (random_flip(batch[0], state.generators[AUGMENT]), *batch[1:])
        if settings.shifts:
            batch = (random_shift(batch[0], settings.shifts, state.generators[AUGMENT]), *batch[1:])
        parts = state.shards.split(batch)
        found = task.train_step(state, parts)
        for part, metrics in zip(parts, found, strict=True):
            averager.update(metrics, len(part[0]))
        guard.update(torch.stack([metrics["loss"].detach() for metrics in found]).sum())
    guard.check()
    state.share()
    return averager


@torch.no_grad()
def evaluate(
    eval_step: EvalStep, model: nn.Module, tensors: Batch, batch_size: int
) -> MetricAverager:
    """The metrics of a whole set, with the model in eval mode; its batches are shared out among the processes."""
    model.eval()
    averager = MetricAverager()
    for batch in processes.deal(batches(tensors, batch_size)):
        averager.update(eval_step(model, batch), len(batch[0]))
    return averager


class NonFiniteGuard:
    """Checks that the losses are finite: they stay on the device, and the host reads them every CHECKED_EVERY steps."""

    def __init__(self, epoch: int, settings: TrainSettings) -> None:
        self.epoch, self.settings = epoch, settings
        self.losses: list[Tensor] = []
        self.checked = 0  # steps

    def update(self, loss: Tensor) -> None:
        """Take a step's loss, and check it and those before where it is time."""
        self.losses.append(loss)
        if len(self.losses) == CHECKED_EVERY:
            self.check()

    def check(self) -> None:
        """Raises UserError for the first loss since the last check that is not finite."""
        for loss in torch.stack(self.losses).tolist() if self.losses else []:
            self.checked += 1
            if not math.isfinite(loss):
                raise not_finite(
                    f"the loss is {loss} in epoch {self.epoch}, step {self.checked}", self.settings
                )
        self.losses.clear()


def save_best(state: TrainState, save: Callable[[str, EpochMetrics], None]) -> None:
    """Save the best weights of a resumed training again: DVC removes a stage's outputs before it runs it."""
    current = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    state.model.load_state_dict(state.best)
    save("best", state.history[state.best_epoch - 1])
    state.model.load_state_dict(current)


def not_finite(what: str, settings: TrainSettings) -> UserError:
    """The error of a loss that is NaN or infinite."""
    precision = (
        ", or bfloat16 too coarse: set train.precision=float32"
        if settings.precision == "bfloat16"
        else ""
    )
    return UserError(
        f"{what}: stopped; train.lr={settings.lr} is likely too high: lower it{precision}; or the initial weights are "
        "damaged. The checkpoint of the last good epoch is kept"
    )


@contextlib.contextmanager
def naming_memory_errors(settings: TrainSettings) -> Iterator[None]:
    """Turn exhausted memory into a UserError that names the parameter to lower."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory with batches of {settings.batch_size} images ({one_line(error)}): lower train.batch_size"
        ) from error
