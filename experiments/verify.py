"""Compare the metrics in the workspace with those of the last commit: `make repro verify`.

On the same kind of processor with the same number of threads they are equal to the bit. Other
processors add floating-point numbers in another order, and training amplifies the differences:

- The gray baselines involve no training. They must be equal in all digits.
- The learning rate of the U-Nets falls to zero, or they start from such a network. Their metrics
  may differ by the tolerances in colorpipe/evaluation/table.py.
- The paper's recipe has a constant learning rate. On the bundled photographs, a training has about
  sixty steps, and its validation loss changes by a third from one epoch to the next. A relative
  difference of 1e-6 in the initial weights moved the test loss of `resnet` by 8 %, and another
  processor moved that of `eccv` by 48 %. No tolerance would mean anything. So these colorizers
  must only be better than the gray baseline, and the pretext task's classifiers are not compared.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

from colorpipe import config, files
from colorpipe.evaluation.table import METRICS

TOLERANCES = {metric.key: metric.tolerance for metric in METRICS}
CONSTANT_RATE = "train"  # the recipe of the paper


def is_unstable(file: str) -> bool:
    """Return whether a file of metrics/ belongs to a training with a constant learning rate."""
    columns = config.load_colorizers().get(Path(file).stem)
    return "/pretext/" in file or (columns is not None and columns["recipe"] == CONSTANT_RATE)


def exceeds_tolerance(file: str, key: str, old: object, new: object) -> bool:
    """Return whether a metric, or its absence, differs by more than its tolerance."""
    if not isinstance(old, float | int) or not isinstance(new, float | int):
        return old != new
    if is_unstable(file):
        return not math.isfinite(new)
    relative, absolute = (0.0, 0.0) if "/baseline/" in file else TOLERANCES.get(key, (0.0, 0.0))
    return not abs(new - old) <= max(relative * abs(old), absolute)


def find_baseline_mse(name: str) -> float:
    """Return the gray baseline's ab MSE on the data set of a colorizer.

    Raises:
        SystemExit: A file is missing.
    """
    evaluation = files.evaluation_path(name)
    if not evaluation.is_file():
        sys.exit(f"error: {evaluation} is missing: run `dvc repro`")
    data = files.read_json(evaluation)["data"]
    for path in sorted(Path("evaluations/baseline").glob("*.json")):
        if files.read_json(path)["data"] == data:
            return float(
                files.read_json(files.metrics_path(f"baseline/{path.stem}"))["test"]["mse"]
            )
    sys.exit(f"error: there is no gray baseline on {data}: run `dvc repro`")


def main() -> None:
    """Print every metric that differs. Exit with 1 if one exceeds its tolerance or is missing."""
    command = ["dvc", "metrics", "diff", "--json", "HEAD"]
    diff = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout or "{}"
    )
    failures = 0
    for name in files.read_json(files.NAMES)["colorizers"]:
        mse = files.read_json(files.metrics_path(name))["test"]["mse"]
        baseline_mse = find_baseline_mse(name)
        if not mse < baseline_mse:
            failures += 1
            print(
                f"NOTHING LEARNED: {name}: its ab MSE {mse} is not below the gray baseline's "
                f"{baseline_mse}"
            )
    for file, metrics in diff.items():
        for key, values in metrics.items():
            old, new = values.get("old"), values.get("new")
            exceeds = exceeds_tolerance(file, key, old, new)
            failures += exceeds
            word = "TOO FAR" if exceeds else "differs"
            print(f"{word}: {file} {key}: committed {old}, here {new}")
    print(f"metrics: {len(diff)} files differ from the committed ones, {failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
