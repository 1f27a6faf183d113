"""Memory and throughput of a training stage as its data grows: `stages.train` itself, on data sets of several sizes.

python -m benchmarks.memory, in the folder of such a data set: trains as `stages.train resnet` does, and prints JSON.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.tables import Table

SIZES = (1_000, 10_000, 45_000)  # images to train on; the last is CIFAR-10's
TARGET = "1.5"  # GB
VALIDATION = 5_000  # images, as in the paper; a tenth of smaller sets
ROOT = Path(__file__).parents[1]


def measure(sizes: tuple[int, ...] = SIZES) -> Table:
    """Train one epoch of `resnet` on each size, in a process of its own."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), size)
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory"],
                cwd=folder,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
            )
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            {
                "images": f"{size:,}",
                "images/s": f"{size / found['epoch']:.0f}",
                "peak memory beyond import torch (GB)": f"{(found['peak'] - found['torch']) / 1e9:.2f}",
                "target": TARGET,
                "of that, the arrays (GB)": f"{found['arrays'] / 1e9:.2f}",
                "raw": found,
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    caption = (
        "One epoch of stages.train for resnet, once; the largest resident set of the process less that after import torch. "
        "images/s with the validation and all that is before and after the epoch, imports left out. The images are the "
        "bundled photographs, 32x32, over and over; with a tenth as many (at most 5,000) for validation."
    )
    return Table("Memory, and growth with the data", caption, rows)


def prepare(folder: Path, size: int) -> None:
    """A project's folder with just what `stages.train resnet` reads: `size` images instead of those of `photos`."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["datasets"]["photos"]["epochs"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    data = folder / "data/photos"
    data.mkdir(parents=True)
    (data / "weights").symlink_to(Path("data/photos/weights").resolve())
    (data / "prior.npy").symlink_to(Path("data/photos/prior.npy").resolve())
    photos = np.load("data/photos/train.npy")
    for name, count in (("train", size), ("val", min(VALIDATION, size // 10))):
        np.save(data / f"{name}.npy", photos[np.arange(count) % len(photos)])


def main() -> None:
    """Train, watching the memory."""
    import torch  # noqa: F401

    before = resident("VmRSS")
    from colorpipe.training import colorization  # noqa: F401  # the stage's imports are not part of the epoch
    from stages import train

    sys.argv = [
        "train",
        "resnet",
        "--task",
        "colorization",
        "--model",
        "resnet18",
        "--data",
        "photos",
        "--loss",
        "mse",
    ]
    sys.argv += ["--recipe", "paper", "--init", "data/photos/weights/none.safetensors"]
    start = time.perf_counter()
    train.main()
    epoch = time.perf_counter() - start
    arrays = sum(path.stat().st_size for path in Path("data/photos").glob("*.npy"))
    print(
        json.dumps({"torch": before, "peak": resident("VmHWM"), "epoch": epoch, "arrays": arrays})
    )


def resident(key: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at its peak (Linux)."""
    return 1024 * int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    main()
