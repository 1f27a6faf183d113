"""One training loop, for colorizers and classifiers: it knows batches, losses and epochs, not what is learnt.

The whole set stays where it is as uint8, a batch is an index into it, drawn on the device, and a step works on whole
batches. Nothing waits for the step in progress, so an accelerator always has work; sums are read once an epoch.
"""

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from colorpipe import environment, files
from colorpipe.errors import UserError, one_line, out_of_memory
from colorpipe.params import Params
from colorpipe.unfinished import Progress, Row, State

Batch = tuple[Tensor, ...]
# What a task makes of a batch: means over its images as scalars, "loss" first and with its gradient.
Measure = Callable[[nn.Module, Batch], dict[str, Tensor]]


@dataclass(frozen=True)
class Settings:
    """How to train: epochs, Adam's learning rate, images a batch, "bfloat16" or "float32", compiled or not, and the seed."""

    epochs: int
    lr: float
    batch_size: int
    precision: str
    compile: bool
    seed: int

    @classmethod
    def of(cls, params: Params, data: str) -> Self:
        """The settings for a data set."""
        return cls(epochs=params.datasets.get(data).epochs, seed=params.seed, **params.train.model_dump())


def prepare(seed: int, threads: int) -> torch.device:
    """Seed torch, fix the number of threads and the algorithms, and choose the device: a CUDA one where there is one."""
    environment.keep_freed_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only so
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # `use_deterministic_algorithms` is the same, but imports the compiler: 2 s
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid of that mode: a fifth of the time
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32 on a GPU too
    torch.manual_seed(seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context of a network's arithmetic: bfloat16 where it is safe, or float32 throughout."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def announce(name: str, model: nn.Module, images: int, settings: Settings, device: torch.device) -> None:
    """Say in one line what is trained on what; and in another where the processor has to emulate bfloat16."""
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}: {size:.2f} M parameters, {images} images, {settings.epochs} epochs, {settings.precision} on {where}")
    if settings.precision == "bfloat16" and not has_bfloat16(device):
        print("this processor has no bfloat16 and emulates it: train.precision=float32 is likely faster here")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor computes in bfloat16 itself; others emulate it, slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def fit(
    model: nn.Module,
    measure: Measure,
    train: Batch,
    val: Batch,
    settings: Settings,
    save: Callable[[str, Row], None],
    log: Callable[[list[Row]], None] = lambda rows: None,
    state: State | None = None,
) -> list[Row]:
    """Train `model` in place; the curves, one row an epoch: epoch, train_<name>..., val_<name>... for each measure.

    `train` and `val` are whole sets, (N, ...) tensors in step. `save("best", row)` is called whenever the validation loss
    is lower than ever before, `save("last", row)` at the end, `log(rows)` after each epoch. Training measures are taken as
    the weights change, validation measures at the end of the epoch. With a `state` it goes on from the last epoch that is
    kept there, as if it had never stopped. Raises UserError where the loss is not finite or memory runs out.
    """
    if len(train[0]) < 2:
        raise UserError("one image alone cannot be trained on: BatchNorm needs two; lower val_size, or add images")
    if settings.compile:
        measure = compiled(measure, train[0].device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=True)
    progress = Progress(model, optimizer, torch.Generator(train[0].device).manual_seed(settings.seed))
    curves = progress.curves
    if state and state.restore(progress):
        for epoch in range(1, len(curves) + 1):
            log(curves[:epoch])
        save_best(progress, save)
    with explained(settings):
        for epoch in range(len(curves) + 1, settings.epochs + 1):
            row = {
                "epoch": epoch,
                **train_epoch(progress, measure, train, settings).means("train_"),
                **evaluate(model, measure, val, settings.batch_size).means("val_"),
            }
            if not math.isfinite(row["val_loss"]):
                raise not_finite(f"the validation loss is {row['val_loss']} in epoch {epoch}", settings)
            curves.append(row)
            print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
            log(curves)
            if row["val_loss"] < (curves[progress.best_epoch - 1]["val_loss"] if progress.best_epoch else math.inf):
                save("best", row)
                progress.mark_best()
            if state and epoch < settings.epochs:  # after the last one nothing is left to go on with
                state.save(progress)
    save("last", curves[-1])
    return curves


def train_epoch(progress: Progress, measure: Measure, train: Batch, settings: Settings) -> "Totals":
    """One pass over the train set. Raises UserError as soon as the loss is not finite."""
    progress.model.train()
    epoch = len(progress.curves) + 1
    order = torch.randperm(len(train[0]), generator=progress.generator, device=train[0].device)
    totals, watch = Totals(), Watch(epoch, settings)
    for batch in batches(train, settings.batch_size, order, f"epoch {epoch}/{settings.epochs}"):
        progress.optimizer.zero_grad(set_to_none=True)
        found = measure(progress.model, batch)
        found["loss"].backward()
        progress.optimizer.step()
        totals.add(found, len(batch[0]))
        watch.take(found["loss"].detach())
    watch.check()
    return totals


class Watch:
    """Sees to it that each step's loss is finite: read when the next step is queued, so that nobody waits for it."""

    def __init__(self, epoch: int, settings: Settings) -> None:
        self.epoch, self.settings, self.step = epoch, settings, 0

    def take(self, loss: Tensor) -> None:
        """Check the loss of the step before, and have this one, just queued, brought to the CPU."""
        self.check()
        self.step += 1
        self.loss = loss.to("cpu", non_blocking=True)
        self.brought = torch.cuda.Event() if loss.is_cuda else None
        if self.brought:
            self.brought.record()

    def check(self) -> None:
        """Raises UserError where the loss taken last is not finite."""
        if not self.step:
            return
        if self.brought:
            self.brought.synchronize()  # of that step alone: a CUDA tensor's `item` waits for all that is queued
        if not math.isfinite(loss := self.loss.item()):
            raise not_finite(f"the loss is {loss} in epoch {self.epoch}, step {self.step}", self.settings)


def save_best(progress: Progress, save: Callable[[str, Row], None]) -> None:
    """Save the best weights of a training that goes on: DVC removes what a stage had written before it runs it again."""
    current = {name: tensor.clone() for name, tensor in progress.model.state_dict().items()}
    progress.model.load_state_dict(progress.best)
    save("best", progress.curves[progress.best_epoch - 1])
    progress.model.load_state_dict(current)


def not_finite(what: str, settings: Settings) -> UserError:
    """What to say of a loss that is NaN or infinite."""
    coarse = ", or bfloat16 too coarse: set train.precision=float32" if settings.precision == "bfloat16" else ""
    return UserError(
        f"{what}: stopped; train.lr={settings.lr} is likely too high: lower it{coarse}; or the weights it started "
        "from are damaged. The state of the last good epoch is kept"
    )


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn an error of memory that ran out into one line with the parameter to lower."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            f"out of memory at a batch of {settings.batch_size} images ({one_line(error)}): lower train.batch_size"
        ) from error


def compiled(measure: Measure, device: torch.device) -> Measure:
    """`measure` with its gradient as fused kernels, on a GPU replayed as CUDA graphs: one launch a pass.

    The optimizer, fused already, stays outside. Compiled anew for each size of batch: of training and of validation, the
    full one and the rest. Raises UserError where the CPU's code could not be compiled.
    """
    if device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        raise UserError("train.compile=true needs a C++ compiler on a CPU: install g++, or set train.compile=false")
    torch.use_deterministic_algorithms(True, warn_only=True)  # tells the compiler too
    fused = torch.compile(measure, mode="reduce-overhead", dynamic=False)

    def marked(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        torch.compiler.cudagraph_mark_step_begin()  # what the last step returned is added up: its memory is free again
        return fused(model, batch)

    return marked


@torch.no_grad()
def evaluate(model: nn.Module, measure: Measure, arrays: Batch, batch_size: int) -> "Totals":
    """The measures of a whole set, in its order, with the model as it is when in use."""
    model.eval()
    totals = Totals()
    for batch in batches(arrays, batch_size):
        totals.add(measure(model, batch), len(batch[0]))
    return totals


class Totals:
    """Sums and counts of measures that are means over batches: divided once, so batches of unequal size weigh right."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, means: Mapping[str, Tensor], size: int) -> None:
        """Add the means over a batch of `size` images."""
        for name, mean in means.items():
            self.sums[name] = self.sums.get(name, 0) + mean.detach().double() * size
        self.count += size

    def means(self, prefix: str = "") -> Row:
        """The means over all images."""
        return {prefix + name: (total / self.count).item() for name, total in self.sums.items()}


def batches(arrays: Batch, size: int, order: Tensor | None = None, title: str | None = None) -> Iterator[Batch]:
    """The rows of `arrays`, `size` at a time, the last batch with the rest; in training: in a given order, under a bar.

    In training a rest of one image joins the batch before it: BatchNorm has no spread over one value a channel.
    """
    count = len(arrays[0])
    starts = list(range(0, count, size))
    if order is not None and count % size == 1 < len(starts):
        starts.pop()
    for start in tqdm(starts, title, unit="batch", leave=False, disable=None) if title else starts:
        end = count if start == starts[-1] else start + size
        index = slice(start, end) if order is None else order[start:end]
        yield tuple(array[index] for array in arrays)


def write_curves(path: Path, curves: list[Row]) -> None:
    """Write the curves as CSV, one row an epoch, whole at any time."""
    header = curves[0] if curves else {"epoch": 0}
    lines = [",".join(header), *(",".join(map(str, row.values())) for row in curves)]
    files.write_text(path, "\n".join(lines) + "\n")
