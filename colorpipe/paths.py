"""Every path of the pipeline, relative to the project's root. dvc.yaml declares the same paths."""

import hashlib
import os
from pathlib import Path

DATA = Path("data")
ARCHIVES = DATA / "archives"  # downloads, and files put there by hand; not managed by DVC, so DVC removes nothing there
METRICS = Path("metrics")
EVALUATIONS = Path("evaluations")
CURVES = Path("curves")
GRIDS = Path("grids")
MODELS = Path("models")
REPORT = Path("report")
GALLERIES = Path("galleries")
LIVE = Path("live")  # live metrics of the running training
RUNS = Path("runs")  # when and where results were made; not tracked, since that is never the same twice
# Checkpoints to resume from; in the repository itself where DVC runs an experiment in a copy of it.
RESUME = Path(os.path.relpath(os.environ.get("DVC_ROOT", "."))) / RUNS / "resume"


def raw(data: str) -> Path:
    """The folder of a data set's archive."""
    return DATA / data / "raw"


def init_weights(data: str, name: str) -> Path:
    """What an encoder or a loss is initialized from on this data set: a weight file with or without tensors."""
    return DATA / data / "weights" / f"{name}.safetensors"


def images(data: str, split: str) -> Path:
    """The prepared images of "train", "val" or "test": (N, 3, H, W) uint8 sRGB."""
    return DATA / data / f"{split}.npy"


def labels(data: str, split: str) -> Path:
    """The labels of a split: (N,) int64."""
    return DATA / data / f"{split}_labels.npy"


def classes(data: str) -> Path:
    """The class names, a JSON list."""
    return DATA / data / "classes.json"


def prior(data: str) -> Path:
    """The share of each ab bin in the training images: (313,) float32."""
    return DATA / data / "prior.npy"


def checkpoint(name: str, which: str) -> Path:
    """The "best" or "last" weights of a colorizer, of "pretext/<init>-<mode>-<labels>" or of "judge/<data>"."""
    return MODELS / name / f"{which}.safetensors"


def curves(name: str) -> Path:
    """The history of a colorizer, of "pretext/<init>-<mode>-<labels>" or of "judge/<data>": CSV, one row per epoch."""
    return CURVES / f"{name}.csv"


def metrics(name: str) -> Path:
    """The test metrics of a colorizer, of "baseline/<name>" or of "pretext/<init>-<mode>-<labels>": JSON, numbers only."""
    return METRICS / f"{name}.json"


def evaluation(name: str) -> Path:
    """What identifies the metrics of the same name (data, n, seed, best epoch, init, loss): JSON."""
    return EVALUATIONS / f"{name}.json"


def run_record(result: Path) -> Path:
    """The record of the run that gave a result file: JSON, found by the hash of the file's content."""
    return RUNS / f"{hashlib.sha256(result.read_bytes()).hexdigest()[:16]}.json"


def gallery(name: str) -> Path:
    """A colorizer's best, median, worst and random test images: JSON with embedded PNGs."""
    return GALLERIES / f"{name}.json"


def grid(name: str) -> Path:
    """A colorizer's grid of gray, predicted and original test images: PNG."""
    return GRIDS / f"{name}.png"
