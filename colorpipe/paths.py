"""Where everything is, from the project's root. dvc.yaml declares the same paths."""

import hashlib
import os
from pathlib import Path

DATA = Path("data")
ARCHIVES = DATA / "archives"  # what was fetched, or put there by hand; DVC does not manage it, so it removes nothing there
METRICS = Path("metrics")
CURVES = Path("curves")
GRIDS = Path("grids")
MODELS = Path("models")
REPORT = Path("report")
GALLERIES = Path("galleries")
LIVE = Path("live")  # the progress of a training
RUNS = Path("runs")  # when and where results were made: not tracked, as it is not the same twice
# What is needed to go on with a training that was killed; in the repository itself where DVC runs an experiment in a copy.
UNFINISHED = Path(os.path.relpath(os.environ.get("DVC_ROOT", "."))) / RUNS / "unfinished"


def raw(data: str) -> Path:
    """The folder of a data set's archive."""
    return DATA / data / "raw"


def weights(data: str, name: str) -> Path:
    """What a model or a loss of this name starts from under the data set's settings: a file with or without tensors."""
    return DATA / data / "weights" / f"{name}.safetensors"


def images(data: str, split: str) -> Path:
    """The prepared images of "train", "val" or "test": (N, 3, H, W) uint8 sRGB."""
    return DATA / data / f"{split}.npy"


def labels(data: str, split: str) -> Path:
    """Their labels: (N,) int64."""
    return DATA / data / f"{split}_labels.npy"


def classes(data: str) -> Path:
    """The names of the labels, a JSON list."""
    return DATA / data / "classes.json"


def checkpoint(name: str, which: str) -> Path:
    """The "best" or the "last" weights of a colorizer, or of "pretext/<start>"."""
    return MODELS / name / f"{which}.safetensors"


def curves(name: str) -> Path:
    """The curves of a colorizer, or of "pretext/<start>": CSV, one row an epoch."""
    return CURVES / f"{name}.csv"


def metrics(name: str) -> Path:
    """The test metrics of a colorizer, or of "pretext/<start>": JSON."""
    return METRICS / f"{name}.json"


def record(result: Path) -> Path:
    """What is known of the run that gave a result, a file: JSON, found by the file's content."""
    return RUNS / f"{hashlib.sha256(result.read_bytes()).hexdigest()[:16]}.json"


def gallery(name: str) -> Path:
    """A colorizer's best, median, worst and random test images: JSON, with the pictures in it."""
    return GALLERIES / f"{name}.json"


def grid(name: str) -> Path:
    """A colorizer's grid of gray, predicted and original test images: PNG."""
    return GRIDS / f"{name}.png"
