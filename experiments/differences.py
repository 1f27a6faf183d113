"""Paired differences over seeds: what one run has more than another of the same seed, with the interval of Student's t."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from scipy import stats

from colorpipe.report import tables
from experiments import summary
from experiments.summary import PRETEXT, Run

LEVEL = 0.95
REFERENCE = "resnet"  # the paper's first
COLORS: dict[str, tuple[Callable[[Run], float], int]] = {  # each with its digits
    "ab MSE": (lambda run: run.metrics["test"]["mse"], 1),
    "ab SSIM": (lambda run: run.metrics["test"]["ssim"], 3),
    "colorfulness": (lambda run: run.metrics["colorfulness"], 1),
}


def table(folder: Path) -> str:
    """A row for each colorizer that shares seeds, two at least, with REFERENCE, in Markdown."""
    found = summary.load(folder)
    names = (
        [name for name in found if name not in (REFERENCE, PRETEXT)] if REFERENCE in found else []
    )
    shown = [one for one in (row(name, REFERENCE, found) for name in names) if one]
    return tables.to_markdown(pd.DataFrame(shown)) if shown else "(no two runs share two seeds)"


def row(one: str, other: str, found: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    """The differences of one to the other in each of COLORS; empty where they share fewer than two seeds."""
    pairs = [
        (a, b) for a in found[one] for b in found[other] if a.metrics["seed"] == b.metrics["seed"]
    ]
    if len(pairs) < 2:
        return {}
    cells = {}
    for column, (score, digits) in COLORS.items():
        mean, half = interval([score(a) - score(b) for a, b in pairs])
        cells[column] = f"{mean:+.{digits}f} ± {half:.{digits}f}"
    return {"difference": f"{one} - {other}", "seeds": str(len(pairs)), **cells}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its interval of confidence LEVEL (Student's t), of two values or more."""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * spread
