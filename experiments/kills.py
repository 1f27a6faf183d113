"""Kill a real training at random moments, with DVC and all, and compare what comes out: `make kills`.

In a clone of this repository: the stage runs once undisturbed, then from its beginning again, killed with SIGKILL at each
moment (DVC and all its processes, and DVC alone, in turn) and started anew with `dvc repro`, until it ends. Weights, curves
and metrics have to be the same bytes.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from colorpipe import paths
from colorpipe.errors import UserError, run


def main() -> None:
    """Print a line a kill, and whether all came out the same."""
    parser = argparse.ArgumentParser(prog="make kills", description=__doc__.splitlines()[0])
    parser.add_argument("--colorizer", default="resnet", help="whose training is killed (resnet)")
    parser.add_argument("--kills", type=int, default=10, help="how many times (10)")
    parser.add_argument("--epochs", type=int, default=30, help="of the training (30)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
        params = clone / "params.yaml"
        before, after = "    epochs: 5  ", f"    epochs: {options.epochs}  "
        params.write_text(params.read_text().replace(before, after))
        stages = [f"train@{options.colorizer}", f"evaluate@{options.colorizer}"]
        _repro(clone, stages)
        expected = _results(clone, options.colorizer)
        seconds = _seconds(clone, stages[0])
        moments = random.Random(options.seed)
        for number in range(1, options.kills + 1):
            moment = moments.uniform(0, seconds)
            _forget(clone, options.colorizer)
            killed = _killed_after(clone, stages[0], moment, alone=number % 2 == 0)
            output = _repro(clone, ["--force", "--single-item", stages[0]])  # not from DVC's cache
            _repro(clone, stages)
            went_on = [line.split(",")[0] for line in output.splitlines() if "goes on after epoch" in line]
            killed += f"; {went_on[0] if went_on else 'from the start'}"
            same = _results(clone, options.colorizer) == expected
            print(f"kill {number}: {killed}; {'the same bytes' if same else 'OTHER BYTES'}", flush=True)
            if not same:
                raise UserError(f"a training killed after {moment:.2f} s ended with other bytes")
    print(f"{options.kills} kills of {options.colorizer}, {options.epochs} epochs: all ended with the same bytes")


def _repro(clone: Path, stages: list[str]) -> str:
    done = subprocess.run(["dvc", "repro", *stages], cwd=clone, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc repro {' '.join(stages)} failed: {done.stderr.splitlines()[-1]}")
    return done.stdout


def _files(clone: Path, name: str) -> list[Path]:
    found = [paths.curves(name), paths.metrics(name), paths.checkpoint(name, "best"), paths.checkpoint(name, "last")]
    return [clone / path for path in found]


def _results(clone: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in _files(clone, name)]


def _forget(clone: Path, name: str) -> None:
    """Have DVC run the training again: neither what it wrote nor DVC's memory of it is left."""
    for path in _files(clone, name):
        path.unlink(missing_ok=True)
    shutil.rmtree(clone / ".dvc/cache/runs", ignore_errors=True)


def _seconds(clone: Path, stage: str) -> float:
    """How long `dvc repro` of the training takes."""
    _forget(clone, stage.split("@")[1])
    begun = time.monotonic()
    _repro(clone, ["--force", "--single-item", stage])
    return time.monotonic() - begun


def _killed_after(clone: Path, stage: str, seconds: float, *, alone: bool) -> str:
    """Start the training and kill DVC, alone or with all its processes, after so many seconds; how far it had come."""
    command = ["dvc", "repro", "--force", "--single-item", stage]
    process = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(seconds)
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    states = list((clone / paths.UNFINISHED).glob("*/*.safetensors"))
    epochs = sum(line.startswith("epoch ") for line in output.splitlines())
    which = "DVC alone" if alone else "DVC and all"
    return f"{which} after {seconds:.2f} s, {epochs} epochs, {'a state' if states else 'no state'}"


if __name__ == "__main__":
    run(main)
