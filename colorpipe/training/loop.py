"""The training loop: epochs, batches, the best epoch, history and resume. What a step is, a task knows.

The whole set stays on the device as uint8; a batch is an index into it, and a step works on whole batches, or on this
process's parts of them (`shards`). Nothing in a step waits for the device: sums are read once an epoch.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from colorpipe.config import DatasetConfig, TrainConfig
from colorpipe.runtime.errors import UserError, is_out_of_memory, one_line
from colorpipe.training import device as devices
from colorpipe.training import processes
from colorpipe.training.augment import random_flip, random_shift
from colorpipe.training.resume import Checkpoint
from colorpipe.training.state import EpochMetrics, TrainState

Batch = tuple[Tensor, ...]  # of images and what belongs to them; a whole set has the same form
Metrics = dict[str, Tensor]  # means over a batch, scalars
EvalStep = Callable[[nn.Module, Batch], Metrics]
CHECKED_EVERY = 50  # steps
ORDER, AUGMENT = "order", "augment"  # the generators of the order of the images, and of how they are mirrored and shifted


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


@dataclass(frozen=True)
class TrainSettings:
    """How to train: what `train` of params.yaml means, for one data set and device. The defaults are the paper's."""

    epochs: int
    lr: float
    batch_size: int
    precision: str
    seed: int
    flips: bool = False
    shifts: int = 0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "constant"
    ema: float = 0.0
    shards: int = 1
    compile: bool = False

    @classmethod
    def from_params(cls, recipe: TrainConfig, dataset: DatasetConfig, seed: int, device: torch.device) -> Self:
        """The settings of a recipe for a data set, in a precision that the device has."""
        settings = recipe.model_dump()
        settings["precision"] = devices.supported_precision(recipe.precision, device)
        settings["flips"] |= dataset.flips
        return cls(epochs=max(1, round(settings.pop("epochs_factor") * dataset.epochs)), seed=seed, **settings)

    def steps(self, images: int) -> int:
        """Optimizer steps in all, on a train set of so many images."""
        return self.epochs * len(batch_starts(images, self.batch_size, 2 * self.shards))


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
    if len(train[0]) < 2 * settings.shards:
        raise UserError(
            f"cannot train on {len(train[0])} image(s): BatchNorm needs two in each part of a batch (train.shards: "
            f"{settings.shards}); lower val_size, or add images"
        )
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
            if checkpoint and len(state.history) < settings.epochs:  # after the last epoch there is nothing to resume
                checkpoint.save(state)
    save("last", state.history[-1])
    return state.history


def resumed(state: TrainState, checkpoint: Checkpoint | None) -> bool:
    """Restore the state from the checkpoint that rank 0 has, in all processes; False where there is none."""
    found = checkpoint is not None and checkpoint.restore(state)
    saved = processes.share(state.state_dict() if found and processes.count() > 1 else None)
    if saved and checkpoint is None:
        state.load_state_dict(saved)
    return found or saved is not None


def run_epoch(task: Task, state: TrainState, train: Batch, val: Batch, settings: TrainSettings) -> EpochMetrics:
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


def train_epoch(task: Task, state: TrainState, train: Batch, settings: TrainSettings) -> "MetricAverager":
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
def evaluate(eval_step: EvalStep, model: nn.Module, tensors: Batch, batch_size: int) -> "MetricAverager":
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
                raise not_finite(f"the loss is {loss} in epoch {self.epoch}, step {self.checked}", self.settings)
        self.losses.clear()


class MetricAverager:
    """Means over images of metrics that are means over batches; over the batches of all processes."""

    def __init__(self) -> None:
        self.sums: list[Metrics] = []  # over a batch each
        self.count = 0

    def update(self, means: Mapping[str, Tensor], size: int) -> None:
        """Add the means over a batch of `size` images; nothing is read from the device."""
        self.sums.append({name: mean.detach().double() * size for name, mean in means.items()})
        self.count += size

    def means(self, prefix: str = "") -> EpochMetrics:
        """The means over all images. Their sums are correctly rounded, so the order of the batches does not matter."""
        names = self.sums[0] if self.sums else {}
        own = {name: torch.stack([sums[name] for sums in self.sums]).tolist() for name in names}
        everyone = processes.gather((own, self.count))
        count = sum(images for _, images in everyone)
        means: EpochMetrics = {}
        for name in everyone[0][0]:
            means[prefix + name] = math.fsum(value for sums, _ in everyone for value in sums.get(name, ())) / count
        return means


def batches(
    tensors: Batch, size: int, order: Tensor | None = None, title: str | None = None, least: int = 1
) -> Iterator[Batch]:
    """Batches of `size` rows, the last one with the rest; in training in a given order, with a progress bar.

    A rest of fewer than `least` joins the batch before it: BatchNorm has no variance over one value a channel.
    """
    count = len(tensors[0])
    starts = batch_starts(count, size, least)
    hidden = True if processes.rank() else None  # None: where the output is no terminal
    for start in tqdm(starts, title, unit="batch", leave=False, disable=hidden) if title else starts:
        end = count if start == starts[-1] else start + size
        index = slice(start, end) if order is None else order[start:end]
        yield tuple(tensor[index] for tensor in tensors)


def batch_starts(count: int, size: int, least: int = 1) -> list[int]:
    """Where the batches of `count` images begin."""
    starts = list(range(0, count, size))
    return starts[:-1] if 0 < count % size < least and len(starts) > 1 else starts


def save_best(state: TrainState, save: Callable[[str, EpochMetrics], None]) -> None:
    """Save the best weights of a resumed training again: DVC removes a stage's outputs before it runs it."""
    current = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    state.model.load_state_dict(state.best)
    save("best", state.history[state.best_epoch - 1])
    state.model.load_state_dict(current)


def not_finite(what: str, settings: TrainSettings) -> UserError:
    """The error of a loss that is NaN or infinite."""
    precision = ", or bfloat16 too coarse: set train.precision=float32" if settings.precision == "bfloat16" else ""
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
