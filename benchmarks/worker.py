"""One side of a comparison in a process of its own: trains as many steps as a line on standard input asks for.

python -m benchmarks.worker TASK WAY: TASK is a row of dvc.yaml's table or "classifier", WAY is "colorpipe",
"colorpipe-<processes>", one of so many that share each batch, "compiled", or "notebook-<workers of the DataLoader>".
Each answer is a line of JSON: images a second; for "profile" instead of a number where colorpipe's time goes, for "gpu" its
memory and what waits for it.
"""

import contextlib
import json
import sys
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from colorpipe.pretext.classifier import Classifier
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from benchmarks import notebook
from colorpipe import config, files
from colorpipe.color import bins
from colorpipe.losses.loss import Loss
from colorpipe.models.colorizer import build_colorizer
from colorpipe.pretext.finetune import FinetuneTask
from colorpipe.training import adversarial, devices, loop
from colorpipe.training.colorization import ColorizationTask, cast_frozen
from colorpipe.training.settings import TrainSettings
from colorpipe.training.supervised import SupervisedTask

CLASSIFIER = "classifier"  # of the pretext task: its encoder with a head for classes. Every other task is a row of the table
CLASSES = 10
WARM_UP = 2  # steps that are not counted: the start of the DataLoader's workers
PROFILED = 4  # steps
SCHEDULED = 100_000  # steps for which a schedule is made: more than are run
SYNC_STEPS = 40  # fewer than loop.CHECKED_EVERY: the losses are read at the end alone
GROUPS = {  # operators, by the prefixes of their names
    "convolutions": (
        "mkldnn_convolution",
        "cudnn_convolution",
        "convolution_backward",
        "mm",
        "addmm",
        "bmm",
    ),
    "BatchNorm": ("native_batch_norm", "cudnn_batch_norm", "mkldnn_batch_norm"),
    "Adam": ("_fused_adam",),
}


def all_tasks() -> list[str]:
    """Every row of 32x32 images, and the classifier."""
    return [
        *(name for name, row in config.load_colorizers().items() if row["data"] == "${dataset}"),
        CLASSIFIER,
    ]


def network(task: str, seed: int) -> nn.Module:
    """The task's network with its initial weights."""
    params = config.load_params()
    torch.manual_seed(seed)
    if task == CLASSIFIER:
        model = params.pretext.model
        colorizer = build_colorizer(model, params.model(model))
        return Classifier(colorizer.encoder, channels=colorizer.channels, classes=CLASSES)
    row = config.load_colorizers()[task]
    return build_colorizer(row["model"], params.model(row["model"]), loss_of(row["loss"]).head)


def loss_of(name: str) -> Loss:
    """A loss on random weights, where it has any, and under a prior of all bins alike."""
    prior = torch.full((bins.COUNT,), 1 / bins.COUNT)
    params = config.load_params()
    name = params.loss if name == "${loss}" else name
    settings = {"weights": "random", **params.loss_settings(name)}
    loss: Loss = config.load_plugin("losses", name).build({}, settings, prior)
    return loss


def build_task(task: str, precision: str) -> SupervisedTask:
    """The task as colorpipe trains it; of an adversarial one the epochs in which both networks are trained."""
    if task == CLASSIFIER:
        return FinetuneTask(precision)
    row = config.load_colorizers()[task]
    loss = cast_frozen(loss_of(row["loss"]), precision)
    if row["task"] == "adversarial":
        settings = adversarial.Config(
            **{**config.load_params().task("adversarial"), "discriminator_epochs": 0}
        )
        return adversarial.AdversarialTask(settings, loss, precision)
    return ColorizationTask(loss, precision)


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the bundled 32x32 photographs (repeated, as there are fewer), and labels below CLASSES."""
    photos, labels = (
        np.load(path("photos", "train")) for path in (files.images_path, files.labels_path)
    )
    index = np.arange(count) % len(photos)
    return photos[index], labels[index] % CLASSES


class Colorpipe:
    """`training.loop.fit`: one epoch of so many batches, and a validation of one batch."""

    def __init__(self, task: str, processes: int = 1, compiled: bool = False) -> None:
        params = config.load_params()
        self.device = devices.prepare(params.seed, max(1, params.threads // processes))
        recipe = (
            params.train
            if task == CLASSIFIER
            else params.recipe(config.load_colorizers()[task]["recipe"])
        )
        with contextlib.redirect_stdout(sys.stderr):
            settings = TrainSettings.from_params(
                recipe, params.data("photos"), params.seed, self.device
            )
        self.settings = replace(settings, epochs=1, shards=processes)
        self.model = network(task, params.seed).to(self.device, memory_format=torch.channels_last)
        self.task = build_task(task, self.settings.precision)
        if isinstance(self.task, ColorizationTask):
            self.task.loss.to(self.device)
        if compiled:
            self.task.compile(self.device, 1)
        batch = torch.from_numpy(images(self.settings.batch_size)[0])
        self.state = self.task.initial_state(
            self.model, replace(self.settings, epochs=SCHEDULED), batch.to(self.device)
        )

    def speed(self, steps: int) -> float:
        """Images a second."""
        size = self.settings.batch_size
        train = tuple(torch.from_numpy(array).to(self.device) for array in images(steps * size))
        val = tuple(array[:size] for array in train)
        self.state.history.clear()
        start = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            loop.fit(self.task, self.state, train, val, self.settings, lambda which, metrics: None)
        return steps * size / (time.perf_counter() - start)

    def gpu(self) -> dict[str, float]:
        """Peak memory of the GPU so far in MB, and how often a step waits for it, for each line of code that does."""
        size = self.settings.batch_size
        data = tuple(torch.from_numpy(array).to(self.device) for array in images(SYNC_STEPS * size))
        peak = torch.cuda.max_memory_allocated() / 1e6
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            loop.train_epoch(self.task, self.state, data, self.settings)
            torch.cuda.set_sync_debug_mode("default")
        waits = [one for one in found if "called a synchronizing" in str(one.message)]
        lines = Counter(f"{Path(one.filename).name}:{one.lineno}" for one in waits)
        return {"MB": peak, **{line: count / SYNC_STEPS for line, count in lines.items()}}

    def profile(self) -> dict[str, float]:
        """The share of the processor's time that each group of operators takes."""
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as found:
            self.speed(PROFILED)
        times = Counter()
        for event in found.key_averages():
            name = event.key.removeprefix("aten::")
            group = next(
                (group for group, starts in GROUPS.items() if name.startswith(starts)),
                "everything else",
            )
            times[group] += event.self_cpu_time_total
        return {group: time / times.total() for group, time in times.most_common()}


class Notebook:
    """The notebook, with so many DataLoader workers."""

    def __init__(self, task: str, workers: int) -> None:
        params = config.load_params()
        torch.set_num_threads(params.threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.task, self.workers, self.batch_size = task, workers, params.train.batch_size
        self.model = notebook.plain(network(task, params.seed)).to(self.device)

    def speed(self, steps: int) -> float:
        """Images a second, without the start of the DataLoader."""
        data = notebook.Photos(*images((steps + WARM_UP) * self.batch_size))
        loader = DataLoader(
            data, batch_size=self.batch_size, shuffle=True, num_workers=self.workers
        )
        training_steps = notebook.train(self.model, self.task, loader, self.device)
        for _ in range(WARM_UP):
            next(training_steps)
        start = time.perf_counter()
        done = sum(count for count, _ in training_steps)
        return done / (time.perf_counter() - start)


def main() -> None:
    """Answer until standard input ends."""
    task, way = sys.argv[1:]
    kind, _, number = way.partition("-")
    side: Colorpipe | Notebook
    if kind == "notebook":
        side = Notebook(task, int(number))
    else:
        side = Colorpipe(task, int(number or 1), compiled=kind == "compiled")
    for line in sys.stdin:
        question = line.strip()
        answer = (
            getattr(side, question)()
            if question in ("profile", "gpu")
            else side.speed(int(question))
        )
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
