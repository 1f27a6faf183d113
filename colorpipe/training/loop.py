"""The training loop: epochs, batches, the best epoch, history and resume.

The whole data set stays on the device as uint8. Each step selects a batch of images by index, and
a task trains on it. Losses are read from the device every 50 steps, and other metrics once per
epoch.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from colorpipe.inference import MetricAverager, Metrics, average
from colorpipe.metrics import METRIC_BATCH_SIZE
from colorpipe.runtime.errors import UserError, is_out_of_memory, one_line
from colorpipe.training import processes, resume
from colorpipe.training.augment import random_flip, random_shift
from colorpipe.training.batches import Batch, batches
from colorpipe.training.resume import Checkpoint
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import EpochMetrics, TrainState

EvalStep = Callable[[nn.Module, Batch], Metrics]
CHECK_INTERVAL = 50  # steps between two checks that the losses are finite
ORDER, AUGMENT = "order", "augment"  # the random generators of a training run


class Task(Protocol):
    """The interface of a training task.

    Attributes:
        loss_names: Names of the metrics of `train_step` that must be finite.
    """

    loss_names: tuple[str, ...]

    def train_step(self, state: TrainState, batch: Batch) -> Metrics:
        """Train on this process's part of a batch, and return the metrics of the part.

        A step calls `state.step` for each optimizer of the task. The metrics include "loss".
        """

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return the metrics of a batch, without gradients. They include "loss"."""

    def selection(self, epoch: EpochMetrics) -> float:
        """Return the selection score of an epoch. The best epoch has the lowest score."""


def fit(
    task: Task,
    state: TrainState,
    train: Batch,
    val: Batch,
    settings: TrainSettings,
    save: Callable[[str, EpochMetrics, Mapping[str, Tensor]], None],
    log: Callable[[list[EpochMetrics]], None] = lambda history: None,
    checkpoint: Checkpoint | None = None,
) -> list[EpochMetrics]:
    """Train the models of `state` in place.

    Args:
        task: The task to train.
        state: Models and optimizers. The loop adds its random generators.
        train: Training set: tensors (N, ...) of equal length on the device.
        val: Validation set of the same form.
        settings: Epochs, batch size, augmentation and seed.
        save: Called with "best", the epoch's metrics and the weights whenever `task.selection` has
            a new minimum, and with "last" at the end.
        log: Called with the history after each epoch.
        checkpoint: Where to resume from and what to save after each epoch. If several processes
            share the training run, only rank 0 has a checkpoint.

    Returns:
        The history, one row per epoch: epoch, train_<metric>..., val_<metric>... The training
        metrics are taken while the weights change, the validation metrics at the end of the epoch.

    Raises:
        UserError: A loss is not finite, or memory ran out.
    """
    check_size(len(train[0]), settings.smallest_batch)
    for name in (ORDER, AUGMENT):
        state.generators[name] = torch.Generator(train[0].device).manual_seed(settings.seed)
    if content := processes.broadcast(checkpoint.load() if checkpoint else None):
        resume.restore(state, content)
        for epoch in range(1, len(state.history) + 1):
            log(state.history[:epoch])
        # DVC deleted the stage's outputs before it ran the stage again.
        save("best", state.history[state.best_epoch - 1], state.best)
    while len(state.history) < settings.epochs:
        metrics = run_epoch(task, state, train, val, settings)
        is_best = state.append(metrics, task.selection(metrics))
        print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()), flush=True)
        log(state.history)
        if is_best:
            save("best", metrics, state.best)
        if checkpoint and len(state.history) < settings.epochs:
            with convert_memory_errors(settings.batch_size, batch_size_remedy(settings)):
                checkpoint.save(state)  # copies the state on its device
    save("last", state.history[-1], state.model.state_dict())
    return state.history


def check_size(images: int, smallest: int) -> None:
    """Raise UserError if the training set is too small to train on."""
    if images < smallest:
        raise UserError(
            f"the training set has {images} images, but BatchNorm needs {smallest} or more: lower "
            "val_size, or add images"
        )


def run_epoch(
    task: Task, state: TrainState, train: Batch, val: Batch, settings: TrainSettings
) -> EpochMetrics:
    """Train for an epoch and validate, or raise UserError if a loss is not finite.

    Rank 0 validates alone, because SSIM and PSNR depend on which images share a batch.
    """
    epoch = len(state.history) + 1
    with convert_memory_errors(settings.batch_size, batch_size_remedy(settings)):
        metrics = {"epoch": epoch, **train_epoch(task, state, train, settings)}
    if processes.rank() == 0:
        with convert_memory_errors(METRIC_BATCH_SIZE, "lower the data set's size"):
            metrics |= validate(task.eval_step, state.model, val, "val_")
        if not math.isfinite(metrics["val_loss"]):
            raise not_finite_error(
                f"the validation loss is {metrics['val_loss']} in epoch {epoch}", settings
            )
    return processes.broadcast(metrics)


def train_epoch(
    task: Task, state: TrainState, train: Batch, settings: TrainSettings
) -> EpochMetrics:
    """Train for one pass over the training set, and return train_<metric>...

    Raises:
        UserError: A loss is not finite.
    """
    for model in state.models.values():
        model.train()
    epoch = len(state.history) + 1
    generator, device = state.generators[ORDER], train[0].device
    order = torch.randperm(len(train[0]), generator=generator, device=device)
    averager, guard = MetricAverager(), NonFiniteGuard(task.loss_names, epoch, settings)
    title = f"epoch {epoch}/{settings.epochs}"
    for batch in batches(train, settings.batch_size, order, title, settings.smallest_batch):
        if settings.flips:
            batch = (random_flip(batch[0], state.generators[AUGMENT]), *batch[1:])
        if settings.shifts:
            images = random_shift(batch[0], settings.shifts, state.generators[AUGMENT])
            batch = (images, *batch[1:])
        part = processes.own_part(batch)
        metrics = task.train_step(state, part)
        averager.update(metrics, len(part[0]))
        guard.update(metrics)
    guard.check()
    return average(processes.gather(averager.totals()), "train_")


@torch.no_grad()
def validate(
    eval_step: EvalStep, model: nn.Module, tensors: Batch, prefix: str = ""
) -> EpochMetrics:
    """Return the metrics of a whole set in eval mode, with `prefix` before each name.

    Batches have the test's size, because SSIM and PSNR depend on it.
    """
    model.eval()
    averager = MetricAverager()
    for batch in batches(tensors, METRIC_BATCH_SIZE):
        averager.update(eval_step(model, batch), len(batch[0]))
    return average([averager.totals()], prefix)


class NonFiniteGuard:
    """A check that losses are finite. The host reads them from the device every 50 steps."""

    def __init__(self, names: Sequence[str], epoch: int, settings: TrainSettings) -> None:
        self.names, self.epoch, self.settings = names, epoch, settings
        self.losses: list[Tensor] = []
        self.checked = 0  # steps

    def update(self, metrics: Metrics) -> None:
        """Add the losses of a step, and check all losses if enough have been added."""
        # torch.stack copies the losses, because a CUDA graph overwrites its outputs.
        self.losses.append(torch.stack([metrics[name].detach() for name in self.names]))
        if len(self.losses) == CHECK_INTERVAL:
            self.check()

    def check(self) -> None:
        """Raise UserError for the first loss since the last check that is not finite."""
        for losses in torch.stack(self.losses).tolist() if self.losses else []:
            self.checked += 1
            where = f"in epoch {self.epoch}, step {self.checked}"
            for name, loss in zip(self.names, losses, strict=True):
                if not math.isfinite(loss):
                    title = "the loss" if name == "loss" else f"the {name}'s loss"
                    raise not_finite_error(f"{title} is {loss} {where}", self.settings)
        self.losses.clear()


def not_finite_error(problem: str, settings: TrainSettings) -> UserError:
    """Return the error for a loss that is NaN or infinite."""
    precision = ""
    if settings.precision == "bfloat16":
        precision = f", or set {settings.recipe}.precision=float32"
    return UserError(
        f"{problem}: lower {settings.recipe}.lr, which is {settings.lr}{precision}, or check the "
        "initial weights"
    )


def batch_size_remedy(settings: TrainSettings) -> str:
    """Return what to do if memory runs out in training."""
    return f"lower {settings.recipe}.batch_size"


@contextlib.contextmanager
def convert_memory_errors(batch_size: int, remedy: str) -> Iterator[None]:
    """Turn exhausted memory into a UserError with the batch size and a remedy."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory with batches of {batch_size} images ({one_line(error)}): {remedy}"
        ) from error
