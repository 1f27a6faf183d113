"""Compare the metrics in the workspace with those of the last commit, or with a study.

    python -m experiments.verify                              # make verify
    python -m experiments.verify --study results/cifar10      # make verify STUDY=results/cifar10

On the same kind of processor with the same number of threads, a run reproduces the metrics of the
last commit exactly. Other processors add floating-point numbers in another order, and training
amplifies the differences:

- The gray baselines of the default run involve no training. They must be equal in all digits.
- The tolerances in colorpipe/evaluation/table.py apply to all results of a study, and to the U-Nets
  of the default run. The U-Nets' results are stable, because the learning rate falls to zero, or
  because training starts from `unet` (`unet_gan`).
- On the bundled photographs, a run has about sixty steps. With the constant learning rate of
  the paper's recipe, its validation loss changes by a third from one epoch to the next. A relative
  difference of 1e-6 in the initial weights moved the test loss of `resnet` by 8 %, and another
  processor moved the test loss of `eccv` by 48 %. A tolerance would therefore be meaningless. The
  metrics of these colorizers and of the pretext task's classifiers must only be finite.

Every colorizer of the default run must have a lower ab MSE than the gray baseline.

A result is compared with a study if the study has a row of the same colorizer, seed, data set and
settings. The source of an archive and its hash may differ, so the images may differ a little, and
the gray baseline with them. Other results are not compared.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pandas as pd

from colorpipe import config, files
from colorpipe.evaluation.table import METRICS
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from experiments.collect import IDENTITY, collect, drop_sources, load_experiment
from experiments.table import load_table

TOLERANCES = {metric.key: metric.tolerance for metric in METRICS if metric.tracked}
PAPER_RECIPE = "train"  # the recipe of the paper
Rule = Literal["exact", "tolerant", "finite"]  # what a new value must be


def exceeds_tolerance(key: str, old: object, new: object, rule: Rule) -> bool:
    """Return whether a metric, or its absence, differs by more than a rule allows."""
    if not isinstance(old, float | int) or not isinstance(new, float | int):
        return old != new
    if rule == "finite":
        return not math.isfinite(new)
    relative, absolute = TOLERANCES.get(key, (0.0, 0.0)) if rule == "tolerant" else (0.0, 0.0)
    return not abs(new - old) <= max(relative * abs(old), absolute)


def compare_with_commit() -> list[str]:
    """Print every metric that differs from the last commit's. Return the failures.

    Raises:
        UserError: DVC cannot compare the metrics, or a result is missing.
    """
    command = [sys.executable, "-m", "dvc", "metrics", "diff", "--json", "HEAD"]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        raise UserError("`dvc metrics diff` failed: its message is above")
    diff = json.loads(process.stdout or "{}")
    failures = compare_with_baseline()
    for file, metrics in diff.items():
        rule = find_rule(file)
        for key, values in metrics.items():
            old, new = values.get("old"), values.get("new")
            line = f"{file} {key}: committed {old}, here {new}"
            failures += print_difference(line, exceeds_tolerance(key, old, new, rule))
    print(f"metrics: {len(diff)} files differ from the committed ones")
    return failures


def find_rule(file: str) -> Rule:
    """Return the rule for a file of metrics/ in the default run."""
    if "/baseline/" in file:
        return "exact"
    entry = config.load_colorizers().get(Path(file).stem)
    is_unstable = entry is not None and entry["recipe"] == PAPER_RECIPE
    return "finite" if is_unstable or "/pretext/" in file else "tolerant"


def compare_with_baseline() -> list[str]:
    """Print the colorizers whose ab MSE is not below the gray baseline's. Return the failures.

    Colorizers on a data set without a gray baseline are not compared.

    Raises:
        UserError: A result is missing.
    """
    names = files.read_json(files.NAMES)

    def read(name: str) -> tuple[str, float]:
        data = files.read_json(files.evaluation_path(name))["data"]
        return data, files.read_json(files.metrics_path(name))["test"]["mse"]

    baselines = dict(read(f"baseline/{name}") for name in names["baselines"])
    failures = []
    for name in names["colorizers"]:
        data, mse = read(name)
        if data in baselines and not mse < baselines[data]:
            failures += print_difference(
                f"{name}: its ab MSE {mse} is not below the gray baseline's", True
            )
    return failures


def print_difference(line: str, is_failure: bool) -> list[str]:
    """Print a difference as an item of a Markdown list. Return it if it is a failure."""
    print(f"- {'FAILED' if is_failure else 'differs'}: {line}")
    return [line] if is_failure else []


def compare_with_study(folder: Path) -> list[str]:
    """Print every metric that differs from a study's. Return the failures.

    Raises:
        UserError: The study has no row with the colorizers, the seed and the settings here.
    """
    path = folder / "results.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: write it with `python -m experiments.table`")
    study = load_table(path, IDENTITY)
    current = collect([load_experiment("workspace", None, "HEAD")]).results
    for table in (study, current):
        table["settings"] = drop_sources(table["settings"])
    pairs = current.merge(study, on=IDENTITY, suffixes=("", "|study"))
    if pairs.empty:
        settings = " or ".join(sorted(set(current["settings"]) - {""})) or "default"
        raise UserError(
            f"{path} has no row with seed {current['seed'].max()} and these settings ({settings}): "
            "run with the seed and the settings of one of its rows"
        )
    failures = []
    for _, row in pairs.iterrows():
        for key in [key for key in TOLERANCES if key in current and f"{key}|study" in pairs]:
            old, new = row[f"{key}|study"], row[key]
            if old == new or (pd.isna(old) and pd.isna(new)):
                continue
            line = f"{row['colorizer']} {key}: in {folder} {old:.5g}, here {new:.5g}"
            failures += print_difference(line, exceeds_tolerance(key, old, new, "tolerant"))
    print(f"metrics: {len(pairs)} results compared with {folder}")
    return failures


def main() -> None:
    """Print every metric that differs. Exit with 1 if a metric exceeds its tolerance."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--study", type=Path, help="the folder of a study, with results.csv")
    study = parser.parse_args().study
    failures = compare_with_study(study) if study else compare_with_commit()
    print(f"{len(failures)} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    run_main(main)
