"""Compare the metrics in the workspace with those of the last commit: `make repro verify`.

On the processor and with the number of threads of the committed run they are equal to the bit. Elsewhere sums are taken in
another order, and a few dozen steps of training carry that far: with one thread instead of two, the losses of the default
run moved by up to a third. What involves no training has to be equal everywhere.
"""

import json
import subprocess
import sys
from pathlib import Path

# How far a metric may be from the committed one, by its last name: (relative, absolute), the larger of the two.
TRAINED = {
    "loss": (0.5, 0.0),
    "mse": (0.5, 0.0),
    "ssim": (0.0, 0.1),
    "psnr": (0.0, 3.0),
    "colourfulness": (0.5, 0.0),
    "accuracy": (0.0, 0.2),
    "first_accuracy": (0.0, 0.2),
}
UNTRAINED = (1e-3, 0.0)  # no_colour.*, original.*
FREE = {"best_epoch"}


def too_far(metric: str, old: object, new: object) -> bool:
    """Whether a metric, by its dotted name, has moved further than it may."""
    if metric in FREE:
        return False
    if not isinstance(old, float | int) or not isinstance(new, float | int):
        return old != new
    group, _, name = metric.rpartition(".")
    relative, absolute = UNTRAINED if group in ("no_colour", "original") else TRAINED.get(name, (0.0, 0.0))
    return not abs(new - old) <= max(relative * abs(old), absolute)


def main() -> None:
    """Print every metric that differs; exit with 1 where one is too far away or missing."""
    command = ["dvc", "metrics", "diff", "--json", "HEAD"]
    diff = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout or "{}")
    failed = 0
    for path in sorted(Path("metrics").glob("*.json")):
        found = json.loads(path.read_text())
        if not found["test"]["loss"] < found["no_colour"]["loss"]:
            failed += 1
            print(f"NOTHING LEARNT: {path}: test.loss {found['test']['loss']} is not below that of no colour")
    for file, metrics in diff.items():
        for metric, values in metrics.items():
            old, new = values.get("old"), values.get("new")
            far = too_far(metric, old, new)
            failed += far
            print(f"{'TOO FAR' if far else 'differs'}: {file} {metric}: committed {old}, here {new}")
    print(f"metrics: {len(diff)} files differ from the committed ones, {failed} failures")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
