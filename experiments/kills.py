"""Kill a real training at random moments and compare the results: `make kills`.

In a clone of this repository the stage runs once undisturbed; then again for each kill, with SIGKILL at a random moment (to
DVC and all its processes, and to DVC alone, in turn), and is resumed with `dvc repro`. Weights, curves and metrics have to
be the same bytes.
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

from colorpipe import files
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main


def main() -> None:
    """Print one line per kill, and whether all results were the same."""
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
            resumed = [
                line.split(",")[0] for line in output.splitlines() if "resuming after epoch" in line
            ]
            killed += f"; {resumed[0] if resumed else 'from the start'}"
            same = _results(clone, options.colorizer) == expected
            print(
                f"kill {number}: {killed}; {'the same bytes' if same else 'DIFFERENT BYTES'}",
                flush=True,
            )
            if not same:
                raise UserError(
                    f"a training killed after {moment:.2f} s ended with different bytes"
                )
    print(
        f"{options.kills} kills of {options.colorizer}, {options.epochs} epochs: all ended with the same bytes"
    )


def _repro(clone: Path, stages: list[str]) -> str:
    done = subprocess.run(["dvc", "repro", *stages], cwd=clone, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc repro {' '.join(stages)} failed: {done.stderr.splitlines()[-1]}")
    return done.stdout


def _files(clone: Path, name: str) -> list[Path]:
    found = [
        files.curves_path(name),
        files.metrics_path(name),
        files.checkpoint_path(name, "best"),
        files.checkpoint_path(name, "last"),
    ]
    return [clone / path for path in found]


def _results(clone: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in _files(clone, name)]


def _forget(clone: Path, name: str) -> None:
    """Remove the outputs of a training run and DVC's run cache, so that it runs again."""
    for path in _files(clone, name):
        path.unlink(missing_ok=True)
    shutil.rmtree(clone / ".dvc/cache/runs", ignore_errors=True)


def _seconds(clone: Path, stage: str) -> float:
    """How long `dvc repro` of the training takes."""
    _forget(clone, stage.split("@")[1])
    started = time.monotonic()
    _repro(clone, ["--force", "--single-item", stage])
    return time.monotonic() - started


def _killed_after(clone: Path, stage: str, seconds: float, *, alone: bool) -> str:
    """Start the training and kill DVC, alone or with all its processes, after so many seconds; return how far it got."""
    command = ["dvc", "repro", "--force", "--single-item", stage]
    process = subprocess.Popen(
        command, cwd=clone, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(seconds)
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    checkpoints = list((clone / files.RESUME).glob("*/*-*.pt"))
    epochs = sum(line.startswith("epoch ") for line in output.splitlines())
    which = "DVC alone" if alone else "DVC and all"
    return f"{which} after {seconds:.2f} s, {epochs} epochs, {'a checkpoint' if checkpoints else 'no checkpoint'}"


if __name__ == "__main__":
    run_main(main)
