"""The pretext task over seeds: accuracies, paired differences and probes by depth, with 95% intervals of Student's t."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from colorpipe.config import REFERENCE_ENCODERS, PretextRun
from colorpipe.report import pretext_results, tables
from experiments import summary
from experiments.differences import interval

DIGITS = 3
REFERENCE = "xavier"  # the paper's
KEY = ["mode", "labels"]


def results(folder: Path) -> pd.DataFrame:
    """A row for each run of each seed: init, mode, labels, seed, top1, and "stages": the accuracy of each.

    Colorizers come first, then the controls.
    """
    rows = []
    for run in summary.load(folder).get(summary.PRETEXT, []):
        for found in run.metrics["runs"].values():
            chosen = {key: found[key] for key in (*PretextRun._fields, "seed", "top1")}
            rows.append({**chosen, "stages": found.get("stages", {})})
    rows.sort(
        key=lambda row: (
            REFERENCE_ENCODERS.index(row["init"]) if row["init"] in REFERENCE_ENCODERS else -1
        )
    )
    return pd.DataFrame(rows, columns=[*PretextRun._fields, "seed", "top1", "stages"])


def table(folder: Path) -> str:
    """Test accuracy, in Markdown: a row for each mode and share of the labels, a column for each init."""
    found = results(folder)
    inits = list(dict.fromkeys(found["init"]))
    return _by_setting(
        found, {init: lambda scores, init=init: scores[init] for init in inits}, sign=""
    )


def differences(folder: Path) -> str:
    """Paired differences in test accuracy, to Xavier and between colorizers; bold where the interval excludes 0."""
    found = results(folder)
    inits = list(dict.fromkeys(found["init"]))
    colorizers = [init for init in inits if init not in REFERENCE_ENCODERS]
    pairs = [(init, REFERENCE) for init in inits if init != REFERENCE and REFERENCE in inits]
    pairs += [(other, colorizers[0]) for other in colorizers[1:]]
    columns = {
        f"{one} - {other}": lambda scores, one=one, other=other: scores[one] - scores[other]
        for one, other in pairs
    }
    return _by_setting(found, columns, sign="+")


def depth_table(folder: Path) -> str:
    """Test accuracy of the linear probe of each stage, in Markdown: a row for each share and init, a column a stage."""
    found = results(folder)
    rows = []
    probes = found[found["mode"] == "probe"].sort_values("labels", kind="stable")
    for (labels, init), group in probes.groupby(["labels", "init"], sort=False):
        stages = pd.DataFrame(group["stages"].tolist())
        cells = {stage: _cell(stages[stage], "") for stage in stages}
        rows.append({"labels": f"{labels}%", "init": init, "seeds": str(len(stages)), **cells})
    return tables.to_markdown(pd.DataFrame(rows))


def draw(folder: Path) -> None:
    """Draw means with intervals, probes by depth and training curves, if there are results."""
    found = results(folder)
    if found.empty:
        return
    points = []
    for key, group in found.groupby([*PretextRun._fields], sort=False):
        stages = pd.DataFrame(group["stages"].tolist()).mean().to_dict()
        mean, half = _interval(group["top1"])
        points.append(
            {
                **dict(zip(PretextRun._fields, key, strict=True)),
                "accuracy": mean,
                "half": half,
                "stages": stages,
            }
        )
    histories = pd.concat([run.history for run in summary.load(folder)[summary.PRETEXT]])
    curves = {
        PretextRun(*key): histories[histories["run"] == Path(PretextRun(*key).name).name]
        for key in found[[*PretextRun._fields]].drop_duplicates().itertuples(index=False)
    }
    pretext_results.draw_pretext(folder / "pretext.png", pd.DataFrame(points), curves)


def _by_setting(
    found: pd.DataFrame, columns: dict[str, Callable[[pd.DataFrame], pd.Series]], sign: str
) -> str:
    """A row for each mode and share; the cells are of the values by seed that the columns make of those of each init.

    A cell of fewer seeds than the row says so.
    """
    rows = []
    for (mode, labels), group in found.groupby(KEY, sort=False):
        scores = group.pivot_table(index="seed", columns="init", values="top1")
        row = {"mode": mode, "labels": f"{labels}%", "seeds": str(len(scores))}
        for name, values in columns.items():
            there = values(scores).dropna()
            row[name] = _cell(there, sign) + (
                f" (seeds: {len(there)})" if len(there) < len(scores) else ""
            )
        rows.append(row)
    return tables.to_markdown(pd.DataFrame(rows))


def _cell(values: pd.Series, sign: str) -> str:
    """Mean and interval; a difference, with its sign, is bold where the interval excludes 0. Empty for no value."""
    if values.empty:
        return ""
    mean, half = _interval(values)
    text = f"{mean:{sign}.{DIGITS}f}" + (f" ± {half:.{DIGITS}f}" if len(values) > 1 else "")
    return f"**{text}**" if sign and len(values) > 1 and abs(mean) > half else text


def _interval(values: pd.Series) -> tuple[float, float]:
    return interval(values.tolist()) if len(values) > 1 else (float(values.mean()), 0.0)
