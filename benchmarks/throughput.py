"""Measure the training throughput: next to a typical notebook, and as the number of images grows.

`make bench` prints the tables and writes benchmarks/RESULTS.md. A GPU is used if there is one.
"""

import contextlib
import functools
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks import notebook
from colorpipe import config
from colorpipe.inference import prepare_device
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer
from colorpipe.report.tables import to_markdown
from colorpipe.runtime import machine
from colorpipe.runtime.process import run_main
from colorpipe.training import devices, loop
from colorpipe.training.colorization import ColorizationTask
from colorpipe.training.settings import TrainSettings

RESULTS = Path("benchmarks/RESULTS.md")
LOSSES = {  # the colorizers that are measured, with their losses, both of which the notebook has
    "resnet": "mse",
    "densenet": "mse",
    "eccv": "mse",
    "unet": "mse",
    "resnet_lpips": "lpips",
}
SCALED = "resnet"  # the colorizer that is trained on more and more images
SIZES = (1_000, 10_000, 45_000)  # images; CIFAR-10 has 45,000 to train on
SIDE = 32  # pixels
ROUNDS = 5
SECONDS = 3.0  # of colorpipe's training per round; the notebook trains on as many images
MIN_STEPS = 4
WARM_UP = 2  # steps that are not timed; a DataLoader starts its processes in the first step
WORKERS = (0, 2)  # processes of the notebook's DataLoader


def main() -> None:
    """Measure, print the tables and write RESULTS.md: about ten minutes on two cores."""
    with start_process() as ours, start_process() as theirs:
        comparisons = [compare(name, ours, theirs, ROUNDS, SECONDS) for name in LOSSES]
        epochs = scale(ours, SIZES, ROUNDS)
    text = f"""# Training throughput

`make bench` on {describe_run()}.

## Compared with a typical notebook

{to_markdown(pd.DataFrame(comparisons))}

The numbers are images per second, the medians of {ROUNDS} rounds. Each round runs the columns in
turn. The ratio divides colorpipe's speed by that of the faster notebook in the same round. It shows
the median, the lowest and the highest ratio.

## As the number of images grows

{to_markdown(pd.DataFrame(epochs))}

One epoch of `{SCALED}`: medians of {ROUNDS} rounds (lowest to highest), each of which runs the
rows in turn.
"""
    RESULTS.write_text(text)
    print(text)


def start_process() -> ProcessPoolExecutor:
    """Start a process for colorpipe or the notebook, because colorpipe changes torch's settings."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), reset_start_method)


def reset_start_method() -> None:
    """Reset the start method, so that a DataLoader starts its workers as in a notebook."""
    multiprocessing.set_start_method(None, force=True)


def describe_run() -> str:
    """Return the hardware, the versions and the settings that the numbers depend on."""
    params = config.load_params()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = devices.supported_precision(params.train.precision, device)
    about = machine.describe_machine()
    settings = f"{params.threads} threads, batch size {params.train.batch_size}, {precision}"
    versions = f"Python {about['Python']}, torch {about['torch']}, commit {machine.find_commit()}"
    return f"{about['hardware']}, {versions}, {settings}, {SIDE}x{SIDE} pixels"


def compare(
    name: str, ours: ProcessPoolExecutor, theirs: ProcessPoolExecutor, rounds: int, seconds: float
) -> dict[str, str]:
    """Train a colorizer with colorpipe and in the notebook, in turn.

    Args:
        name: A key of LOSSES.
        ours: The process in which colorpipe trains.
        theirs: The process in which the notebook trains.
        rounds: Number of measurements.
        seconds: Approximate duration of a measurement of colorpipe.

    Returns:
        A line of the table, by column.
    """

    def measure(images: int) -> dict[str, float]:
        times = {"colorpipe": ours.submit(time_colorpipe, name, images).result()}
        for workers in WORKERS:
            duration = theirs.submit(time_notebook, name, images, workers).result()
            times[f"notebook, {workers} workers"] = duration
        return {side: images / duration for side, duration in times.items()}

    batch_size = config.load_params().train.batch_size
    measure(MIN_STEPS * batch_size)  # warm up
    speed = measure(MIN_STEPS * batch_size)["colorpipe"]
    images = batch_size * max(MIN_STEPS, round(seconds * speed / batch_size))
    speeds = pd.DataFrame([measure(images) for _ in range(rounds)])
    ratios = speeds["colorpipe"] / speeds.drop(columns="colorpipe").max(axis="columns")
    medians = {side: f"{speed:.0f}" for side, speed in speeds.median().items()}
    row = {"colorizer": name, **medians, "ratio": format_spread(ratios)}
    print(row, file=sys.stderr, flush=True)
    return row


def scale(process: ProcessPoolExecutor, sizes: Sequence[int], rounds: int) -> list[dict[str, str]]:
    """Train the colorizer SCALED for one epoch on train sets of several sizes, in turn.

    Args:
        process: The process in which colorpipe trains.
        sizes: Numbers of images.
        rounds: Number of measurements of each size.

    Returns:
        The lines of the table, by column.
    """
    process.submit(time_colorpipe, SCALED, sizes[0]).result()  # warm up
    seconds = pd.DataFrame(
        {size: process.submit(time_colorpipe, SCALED, size).result() for size in sizes}
        for _ in range(rounds)
    )
    return [
        {
            "images": f"{size:,}",
            "seconds per epoch": format_spread(seconds[size]),
            "images/s": f"{size / seconds[size].median():.0f}",
        }
        for size in sizes
    ]


def time_colorpipe(name: str, images: int) -> float:
    """Return the seconds of one epoch of `loop.fit`, with a validation on one batch."""
    model, task, settings, device = build_colorpipe(name)
    train = torch.from_numpy(draw_images(images)).to(device)
    state = task.initial_state(model, settings, train)
    val = train[: settings.batch_size]
    start = time.perf_counter()
    with contextlib.redirect_stdout(None):
        loop.fit(task, state, (train,), (val,), settings, lambda which, metrics, tensors: None)
    return time.perf_counter() - start


def time_notebook(name: str, images: int, workers: int) -> float:
    """Return the seconds of one epoch, from step WARM_UP on, with `workers` loading processes."""
    model, loss, device = build_notebook(name)
    batch_size = config.load_params().train.batch_size
    photographs = notebook.Photographs(draw_images(images + WARM_UP * batch_size))
    loader = DataLoader(photographs, batch_size, shuffle=True, num_workers=workers)
    losses = notebook.train(model, loss, loader, device)
    for _ in range(WARM_UP):
        next(losses)
    start = time.perf_counter()
    list(losses)
    return time.perf_counter() - start


@functools.cache
def build_colorpipe(name: str) -> tuple[Colorizer, ColorizationTask, TrainSettings, torch.device]:
    """Build a colorizer, and what colorpipe trains it with: the task, the settings, the device."""
    params = config.load_params()
    device = prepare_device(params.seed, params.threads)
    recipe = params.recipe(config.load_colorizers()[name]["recipe"])
    settings = TrainSettings.from_params(recipe, params.data("photos"), params.seed, device)
    loss_settings = params.loss_settings(LOSSES[name])
    module = config.load_plugin("losses", LOSSES[name])
    section = config.validate_section(module.Config, loss_settings, f"losses.{LOSSES[name]}")
    loss = module.build(section, torch.empty(0, 3), {})  # these losses use no counted colors
    task = ColorizationTask(loss.to(device), settings.precision)
    model = build_model(name).to(device, memory_format=torch.channels_last)
    return model, task, replace(settings, epochs=1), device


@functools.cache
def build_notebook(name: str) -> tuple[Colorizer, nn.Module, torch.device]:
    """Build a colorizer, and the loss and the device that the notebook trains it with."""
    torch.set_num_threads(config.load_params().threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return build_model(name).to(device), notebook.LOSSES[LOSSES[name]]().to(device), device


def build_model(name: str) -> Colorizer:
    """Build a colorizer of dvc.yaml with initial weights that depend only on the seed."""
    params = config.load_params()
    torch.manual_seed(params.seed)
    model = config.load_colorizers()[name]["model"]
    return build_colorizer(model, params.model(model))


def draw_images(count: int) -> np.ndarray:
    """Return random images (count, 3, SIDE, SIDE) of type uint8.

    Their content does not affect the speed.
    """
    return np.random.default_rng(0).integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)


def format_spread(values: pd.Series) -> str:
    """Return the median, the lowest and the highest value as text."""
    return f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})"


if __name__ == "__main__":
    run_main(main)
