"""Training stages as processes, in a folder with params and prepared arrays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from archives import COLORS
from on_path import forks
from project import ROOT

from colorpipe import files, weights
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer
from colorpipe.pretext.encoders import redraw_xavier

COLUMNS = {
    "resnet": ("resnet18", "mse", "train", "colorization"),
    "unet": ("unet", "color_classification", "recipes.refined", "colorization"),
    "unet_gan": ("unet", "l1", "recipes.adversarial", "adversarial"),
}


def train(name: str) -> tuple[str, ...]:
    """Return the arguments of the stage that trains a colorizer of COLUMNS."""
    options = ("--model", "--loss", "--recipe", "--step")
    columns = [text for pair in zip(options, COLUMNS[name], strict=True) for text in pair]
    # This file has no weights, so training starts from random ones.
    start = str(files.start_path("photos", COLUMNS[name][0]))
    return ("train", name, "--data", "photos", "--start-from", start, *columns)


TRAIN, REBALANCED, ADVERSARIAL = map(train, COLUMNS)
PRETEXT = ("pretext", "xavier", "--mode", "finetune", "--labels", "100", "--data", "photos")
PROBE = ("pretext", "xavier", "--mode", "probe", "--labels", "50", "--data", "photos")
NEIGHBORS = ("pretext", "xavier", "--mode", "knn", "--labels", "50", "--data", "photos")
EPOCHS = 8  # with three or four steps each
PAUSED = """
# Run a stage that creates the file argv[2] in training step argv[1], and then waits for a signal.
import runpy, signal, sys
from pathlib import Path
# Import only what the stage imports, because this code is part of the checkpoint's key.
if "adversarial" in sys.argv:
    from colorpipe.training.adversarial import AdversarialTask as Task
else:
    from colorpipe.training.task import TrainingTask as Task

step, remaining, marker = Task.train_step, int(sys.argv[1]), Path(sys.argv[2])

def train_step(self, state, batch):
    global remaining
    remaining -= 1
    if remaining == 0:
        marker.touch()
        signal.pause()
    return step(self, state, batch)

Task.train_step = train_step
sys.argv = sys.argv[3:]
runpy.run_module(f"stages.{sys.argv[0]}", run_name="__main__", alter_sys=True)
"""


def prepare(root: Path) -> Path:
    """Write params and arrays of random images of two classes to a folder."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["datasets"]["photos"]["epochs"] = EPOCHS
    content["threads"] = 1
    for recipe in (content["train"], *content["recipes"].values()):
        recipe |= {"batch_size": 16, "epochs_factor": 1.0}
    content["models"]["unet"] = {"widths": [16, 24], "blocks": [1, 1]}
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    (root / "data/photos/weights").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        np.save(
            root / f"data/photos/{part}.npy",
            rng.integers(0, 256, (150 if part == "test" else 50, 3, 32, 32), dtype=np.uint8),
        )
        np.save(
            root / f"data/photos/{part}_labels.npy",
            rng.integers(0, 2, 150 if part == "test" else 50),
        )
    (root / "data/photos/classes.json").write_text('["a", "b"]')
    np.save(root / "data/photos/colors.npy", COLORS.numpy())
    save_encoder(root / files.weights_path("xavier", "best"), seed=0)
    for name in ("resnet18", "unet", "mse", "l1", "lpips", "color_classification"):
        weights.save(root / files.start_path("photos", name), {}, {"weights": "random"})
    return root


def save_encoder(path: Path, seed: int) -> Colorizer:
    """Write and return a ResNet-18 colorizer whose encoder is drawn with `seed`."""
    settings = {"cut": "layer2"}
    colorizer = build_colorizer("resnet18", settings)
    redraw_xavier(colorizer, seed)
    weights.save(path, colorizer.state_dict(), {"model": "resnet18", "settings": settings})
    return colorizer


def start(
    folder: Path, stage: tuple[str, ...], pause: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    run = ["-c", PAUSED, *pause, stage[0]] if pause else ["-m", f"stages.{stage[0]}"]
    command = [sys.executable, *run, *stage[1:]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # A shell ignores SIGINT in background jobs, and their child processes inherit this.
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **pipes,
    )


def run(folder: Path, stage: tuple[str, ...], **environment: str) -> str:
    """Run a stage, and return its output."""
    process = start(folder, stage, **fork_environment(), **environment)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def fork_environment() -> dict[str, str]:
    """Return the environment in which `python -m` uses the fork server (on Linux)."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests/support/on_path'}"
    return (
        {"COLORPIPE_FORKS": forks.start_server(), "PYTHONPATH": path}
        if sys.platform == "linux"
        else {}
    )


def results(folder: Path, name: str) -> dict[str, bytes]:
    paths = [
        files.curves_path(name),
        files.metrics_path(name),
        files.weights_path(name, "best"),
        files.weights_path(name, "last"),
    ]
    return {str(path): (folder / path).read_bytes() for path in paths if (folder / path).exists()}


def wait_for(event: Callable[[], object], process: subprocess.Popen) -> None:
    """Wait until `event` returns true. Fail if the process ends first."""
    while not event():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
