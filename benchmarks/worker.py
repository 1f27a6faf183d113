"""One side of a comparison in a process of its own: trains as many steps as a line on standard input asks for.

python -m benchmarks.worker TASK WAY: TASK is one of TASKS, WAY is "colorpipe", "colorpipe-<processes>", one of so many that
share each batch, or "notebook-<workers of the DataLoader>".
Each answer is a line of JSON: images a second, and for "profile" instead of a number where colorpipe's time goes.
"""

import contextlib
import json
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from benchmarks import notebook
from colorpipe import config, paths
from colorpipe.color import bins
from colorpipe.losses import lpips, mse
from colorpipe.models import base
from colorpipe.models.classifier import xavier
from colorpipe.tasks.classification import ClassificationTask
from colorpipe.tasks.colorization import ColorizationTask, cast_frozen
from colorpipe.tasks.supervised import SupervisedTask
from colorpipe.training import device as devices
from colorpipe.training import loop, optim
from colorpipe.training.loop import TrainSettings
from colorpipe.training.shards import Shards
from colorpipe.training.state import MODEL, TrainState

TASKS = {  # each with its model
    "resnet": "resnet18",
    "densenet": "densenet121",
    "eccv": "eccv16",
    "resnet_lpips": "resnet18",
    "unet": "unet",
    "classifier": "resnet18",
}
CLASSES = 10
WARM_UP = 2  # steps that are not counted: the start of the DataLoader's workers
PROFILED = 4  # steps
GROUPS = {  # operators, by the prefixes of their names
    "convolutions": ("mkldnn_convolution", "cudnn_convolution", "convolution_backward", "mm", "addmm", "bmm"),
    "BatchNorm": ("native_batch_norm", "cudnn_batch_norm", "mkldnn_batch_norm"),
    "Adam": ("_fused_adam",),
}


def network(task: str, seed: int) -> nn.Module:
    """The task's network with its initial weights."""
    params = config.load()
    torch.manual_seed(seed)
    built = base.build(TASKS[task], params.model(TASKS[task]))
    return xavier(built, CLASSES, seed) if task == "classifier" else built


def build_task(task: str, precision: str) -> SupervisedTask:
    """The task as colorpipe trains it."""
    if task == "classifier":
        return ClassificationTask(precision)
    prior = torch.full((bins.COUNT,), 1 / bins.COUNT)  # of no loss here
    settings = {"weights": "random", "random_seed": 0}
    loss = lpips.build({}, settings, prior) if task == "resnet_lpips" else mse.build({}, {}, prior)
    return ColorizationTask(cast_frozen(loss, precision), precision)


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the bundled 32x32 photographs (repeated, as there are fewer), and labels below CLASSES."""
    photos, labels = (np.load(path("photos", "train")) for path in (paths.images, paths.labels))
    index = np.arange(count) % len(photos)
    return photos[index], labels[index] % CLASSES


class Colorpipe:
    """`training.loop.fit`: one epoch of so many batches, and a validation of one batch."""

    def __init__(self, task: str, processes: int = 1) -> None:
        params = config.load()
        self.device = devices.prepare(params.seed, params.threads // processes)
        with contextlib.redirect_stdout(sys.stderr):
            self.settings = replace(
                TrainSettings.from_params(params.train, params.data("photos"), params.seed, self.device),
                epochs=1,
                shards=processes,
            )
        self.model = network(task, params.seed).to(self.device, memory_format=torch.channels_last)
        self.task = build_task(task, self.settings.precision)

    def speed(self, steps: int) -> float:
        """Images a second."""
        size = self.settings.batch_size
        train = tuple(torch.from_numpy(array).to(self.device) for array in images(steps * size))
        val = tuple(array[:size] for array in train)
        optimizer = optim.build_optimizer(self.model, "adam", self.settings.lr)
        state = TrainState({MODEL: self.model}, {MODEL: optimizer}, shards=Shards(self.settings.shards))
        start = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            loop.fit(self.task, state, train, val, self.settings, lambda which, metrics: None)
        return steps * size / (time.perf_counter() - start)

    def profile(self) -> dict[str, float]:
        """The share of the processor's time that each group of operators takes."""
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as found:
            self.speed(PROFILED)
        times = Counter()
        for event in found.key_averages():
            name = event.key.removeprefix("aten::")
            group = next((group for group, starts in GROUPS.items() if name.startswith(starts)), "everything else")
            times[group] += event.self_cpu_time_total
        return {group: time / times.total() for group, time in times.most_common()}


class Notebook:
    """The notebook, with so many DataLoader workers."""

    def __init__(self, task: str, workers: int) -> None:
        params = config.load()
        torch.set_num_threads(params.threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.task, self.workers, self.batch_size = task, workers, params.train.batch_size
        self.model = notebook.plain(network(task, params.seed)).to(self.device)

    def speed(self, steps: int) -> float:
        """Images a second, without the start of the DataLoader."""
        data = notebook.Photos(*images((steps + WARM_UP) * self.batch_size))
        loader = DataLoader(data, batch_size=self.batch_size, shuffle=True, num_workers=self.workers)
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
    side = Colorpipe(task, int(number or 1)) if kind == "colorpipe" else Notebook(task, int(number))
    for line in sys.stdin:
        print(json.dumps(side.profile() if line == "profile\n" else side.speed(int(line))), flush=True)


if __name__ == "__main__":
    main()
