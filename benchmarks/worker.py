"""One side of a comparison, in a process of its own: it trains as many steps as asked, and answers in images a second.

python -m benchmarks.worker TASK WAY: TASK is one of TASKS, WAY is "colorpipe", or "notebook-<workers of the DataLoader>".
Each line on standard input is a number of steps.
"""

import contextlib
import sys
import time

import numpy as np
import torch
from torch import nn

from benchmarks import notebook
from colorpipe import colorization, params, paths, pretext, training
from colorpipe.losses import lpips, mse
from colorpipe.models import colorizer
from colorpipe.models.classifier import xavier

TASKS = {  # each with its model
    "resnet": "resnet18",
    "densenet": "densenet121",
    "eccv": "eccv16",
    "resnet_lpips": "resnet18",
    "classifier": "resnet18",
}
CLASSES = 10
P = params.load()


def network(task: str) -> nn.Module:
    """The task's network at its start."""
    model = TASKS[task]
    built = colorizer.build(model, P.models.get(model))
    return xavier(built, CLASSES, P.seed) if task == "classifier" else built


def measure(task: str, device: torch.device) -> training.Measure:
    """What colorpipe's loop computes for the task."""
    precision = P.train.precision
    if task == "classifier":
        return pretext.task(precision)
    loss = lpips.build({}, {"weights": "random", "seed": 0}) if task == "resnet_lpips" else mse.build({}, {})
    return colorization.task(colorization.ready(loss, precision, device), precision)


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the bundled 32x32 photographs (over and over, as there are fewer), and labels below CLASSES."""
    photos, labels = (np.load(path("photos", "train")) for path in (paths.images, paths.labels))
    index = np.arange(count) % len(photos)
    return photos[index], labels[index] % CLASSES


def colorpipe(task: str, model: nn.Module, device: torch.device, steps: int) -> float:
    """Images a second of `training.fit`, one epoch of `steps` batches and a validation of one batch."""
    settings = training.Settings(epochs=1, seed=P.seed, **P.train.model_dump())
    train = tuple(torch.from_numpy(array).to(device) for array in images(steps * settings.batch_size))
    val = tuple(array[: settings.batch_size] for array in train)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        training.fit(model, measure(task, device), train, val, settings, lambda which, row: None)
    return len(train[0]) / (time.perf_counter() - start)


def peer(task: str, model: nn.Module, device: torch.device, steps: int, workers: int) -> float:
    """Images a second of the notebook way, from the third step on: without the start of the DataLoader."""
    size = P.train.batch_size
    counts = notebook.train(model, task, *images((steps + 2) * size), device, batch_size=size, workers=workers)
    next(counts), next(counts)
    start = time.perf_counter()
    done = sum(counts)
    return done / (time.perf_counter() - start)


def main() -> None:
    """Answer until standard input ends."""
    task, way = sys.argv[1:]
    device = training.prepare(P.seed, P.threads) if way == "colorpipe" else plain_torch()
    model = network(task).to(device)
    if way == "colorpipe":
        model = model.to(memory_format=torch.channels_last)
    else:
        model = notebook.plain(model)
    for line in sys.stdin:
        if way == "colorpipe":
            found = colorpipe(task, model, device, int(line))
        else:
            found = peer(task, model, device, int(line), int(way.removeprefix("notebook-")))
        print(found, flush=True)


def plain_torch() -> torch.device:
    """The device, with torch as it comes but for the number of threads."""
    torch.set_num_threads(P.threads)
    torch.manual_seed(P.seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    main()
