"""Paths of the pipeline, atomic writes, and JSON and CSV files.

Paths are relative to the project's root. dvc.yaml declares the same paths.
"""

import contextlib
import hashlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from colorpipe.runtime.errors import UserError, missing_output, write_error

# DVC runs a queued experiment in a copy of the project. DVC_ROOT is then the project itself.
ROOT = Path(os.path.relpath(os.environ.get("DVC_ROOT", ".")))
DATA = Path("data")
ARCHIVES = ROOT / DATA / "archives"  # downloads; DVC neither caches nor removes them
METRICS = Path("metrics")
EVALUATIONS = Path("evaluations")
CURVES = Path("curves")
GRIDS = Path("grids")
MODELS = Path("models")
REPORT = Path("report")
GALLERIES = Path("galleries")
LIVE = Path("live")  # live metrics of the current training run
# When and where results were made. DVC does not track it, because it differs every time. It is in
# the project itself, because DVC deletes the folder of a queued experiment.
RUNS = ROOT / "runs"
RESUME = RUNS / "resume"  # checkpoints of unfinished training runs


NAMES = DATA / "names.json"  # names of models, losses, colorizers and baselines


def source_path(data: str) -> Path:
    """Return the path of a data set's source: JSON that says what `split` reads."""
    return DATA / data / "source.json"


def start_path(data: str, name: str) -> Path:
    """Return the file of the weights that a model or a loss starts from. It may hold no tensors."""
    return DATA / data / "weights" / f"{name}.safetensors"


def images_path(data: str, split: str) -> Path:
    """Return the path of the "train", "val" or "test" images: (N, 3, H, W) uint8 sRGB."""
    return DATA / data / f"{split}.npy"


def labels_path(data: str, split: str) -> Path:
    """Return the path of a split's labels: (N,) int64."""
    return DATA / data / f"{split}_labels.npy"


def classes_path(data: str) -> Path:
    """Return the path of the class names, a JSON list."""
    return DATA / data / "classes.json"


def colors_path(data: str) -> Path:
    """Return the path of the counted colors of the training images: (K, 3) float64."""
    return DATA / data / "colors.npy"


def weights_path(name: str, which: str) -> Path:
    """Return the path of the "best" or "last" weights of a training run."""
    return MODELS / name / f"{which}.safetensors"


def curves_path(name: str) -> Path:
    """Return the path of a training run's history: a CSV file with one row per epoch."""
    return CURVES / f"{name}.csv"


def metrics_path(name: str) -> Path:
    """Return the path of the test metrics that DVC tracks: JSON with numbers only."""
    return METRICS / f"{name}.json"


def evaluation_path(name: str) -> Path:
    """Return the path of the other test metrics, and the run's data set, seed and loss: JSON."""
    return EVALUATIONS / f"{name}.json"


def run_record_path(history: bytes) -> Path:
    """Return the path of the record of a training run, named by the hash of its history."""
    return RUNS / f"{hashlib.sha256(history).hexdigest()[:16]}.json"


def gallery_path(name: str) -> Path:
    """Return the path of a colorizer's gallery: JSON with embedded PNG images."""
    return GALLERIES / f"{name}.json"


def grid_path(name: str) -> Path:
    """Return the path of a colorizer's grid of gray, predicted and original images: PNG."""
    return GRIDS / f"{name}.png"


def hash_file(path: Path, algorithm: str) -> str:
    """Return a file's hash in hexadecimal digits. `algorithm` is "md5" or "sha256"."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` if the block succeeds.

    The temporary file is deleted if the block fails.

    Raises:
        UserError: `path` cannot be written, for example because the disk is full.
    """
    temporary = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        own = (temporary, path, *path.parents)
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in own:
            raise  # about another file that the block reads
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object, indent: int | None = 2) -> None:
    """Write `content` as JSON, atomically."""
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics as JSON, atomically.

    A key with a dot, such as `test.loss`, names a value in a section. Numbers are rounded with
    `round_numbers`, so a number that is not finite becomes null. JSON has no NaN.
    """
    content: dict[str, Any] = {}
    for key, value in metrics.items():
        *parents, name = key.split(".")
        section = content
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = round_numbers(value)
    write_json(path, content)


def round_numbers(value: Any) -> Any:
    """Round a number, or all numbers in lists and dictionaries, to five significant digits.

    A number that is not finite becomes None.
    """
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    return [round_numbers(item) for item in value] if isinstance(value, list) else value


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write a training history as CSV with one row per epoch, atomically."""
    header = history[0] if history else {"epoch": 0}
    lines = [",".join(header), *(",".join(map(str, row.values())) for row in history)]
    write_text(path, "\n".join(lines) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file that a stage wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing_output(path) from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None
