"""The pretext task in the report: a table, and a figure of accuracy by labels, by depth and by epoch."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from colorpipe.config import PretextConfig, PretextRun
from colorpipe.report import figures
from colorpipe.report.tables import Result, load_results

MODES = {
    "finetune": "Fine-tuned",
    "probe": "Linear probe, last stage",
    "knn": "k nearest neighbors, last stage",
}
Panel = Callable[[Axes, Sequence[str]], None]  # draws into the axes, each init in its color
CAPTION = (
    "Classifiers on an encoder: a colorizer's, or one that no colorizer trained. finetune: all of it trains; probe: a "
    "linear layer on its frozen features; knn: nearest neighbors among those. Labels: percent of the training labels. "
    "Training accuracy after the first and last epoch; test accuracy and loss (cross-entropy) at the best epoch by "
    "validation loss."
)


def load(settings: PretextConfig) -> dict[PretextRun, Result]:
    """The results of the runs that params.yaml lists, in their order. Raises UserError where one is missing or damaged."""
    runs = {Path(run.name).name: run for run in settings.runs()}
    found = load_results("pretext", list(runs))
    return {run: found[name] for name, run in runs.items()}


def table(
    results: Mapping[PretextRun, Result], histories: Mapping[PretextRun, pd.DataFrame]
) -> pd.DataFrame:
    """One row per run; without training (knn) no epochs."""
    rows = []
    for run, result in results.items():
        history = histories[run]
        trained = {
            "epoch": result.run["best_epoch"],
            "first train accuracy": history["train_accuracy"].iloc[0],
            "last train accuracy": history["train_accuracy"].iloc[-1],
            "last train loss": history["train_loss"].iloc[-1],
            "test loss": result.metrics["test.loss"],
        }
        identity = {
            "init": run.init,
            "mode": run.mode,
            "labels": run.labels,
            "test accuracy": result.metrics["top1"],
        }
        where = {key: result.run[key] for key in ("data", "n", "seed")}
        rows.append({**identity, **where, **(trained if len(history) else {})})
    found = pd.DataFrame(rows)
    return found.astype({"epoch": "Int64"}) if "epoch" in found else found


def points(results: Mapping[PretextRun, Result]) -> pd.DataFrame:
    """The accuracies of one seed, as `figure` takes them."""
    rows = [
        {
            **run._asdict(),
            "accuracy": result.metrics["top1"],
            "half": 0.0,
            "stages": result.run.get("stages", {}),
        }
        for run, result in results.items()
    ]
    return pd.DataFrame(rows, columns=[*PretextRun._fields, "accuracy", "half", "stages"])


def figure(path: Path, points: pd.DataFrame, curves: Mapping[PretextRun, pd.DataFrame]) -> None:
    """Draw accuracy by labels (where there are several shares), probes by depth, and the curves of what was fine-tuned.

    Args:
        path: of the PNG.
        points: a row a run: init, mode, labels, accuracy, half the width of its interval, and "stages": accuracies by stage.
        curves: the histories of the runs, of several seeds one below the other.
    """
    inits, labels, modes = (
        list(dict.fromkeys(points[column])) for column in ("init", "labels", "mode")
    )
    rows: list[list[Panel]] = []
    if len(labels) > 1:
        rows.append(
            [
                functools.partial(_by_labels, points[points["mode"] == mode], MODES[mode])
                for mode in modes
            ]
        )
    if "probe" in modes:
        probes = points[points["mode"] == "probe"]
        rows.append(
            [
                functools.partial(_by_depth, probes[probes["labels"] == share], share)
                for share in labels
            ]
        )
    tuned = {run: frame for run, frame in curves.items() if run.mode == "finetune"}
    of_share = [
        {run.init: frame for run, frame in tuned.items() if run.labels == share} for share in labels
    ]
    curves_of: list[list[Panel]] = [
        [functools.partial(_by_epoch, *one, measure) for one in zip(of_share, labels, strict=True)]
        for measure in (("accuracy", "loss") if tuned else ())
    ]
    rows += [list(itertools.chain(*curves_of))] if len(labels) == 1 and tuned else curves_of
    if not rows:  # nearest neighbors at one share, or nothing at all
        rows.append([functools.partial(_by_labels, points, MODES["knn"])])
    drawn = Figure(
        figsize=(4.4 * max(map(len, rows)) + 0.6, 3.4 * len(rows) + 0.5), layout="constrained"
    )
    FigureCanvasAgg(drawn)
    for part, draws in zip(drawn.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        for panel, draw in zip(part.subplots(1, len(draws), squeeze=False)[0], draws, strict=True):
            draw(panel, inits)
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
    lines = figures.legend(inits)
    drawn.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    figures.save(drawn, path)


def _by_labels(points: pd.DataFrame, title: str, panel: Axes, inits: Sequence[str]) -> None:
    for init, rows in points.groupby("init"):
        color = figures.color(inits.index(str(init)))
        panel.errorbar(
            rows["labels"],
            rows["accuracy"],
            yerr=rows["half"],
            color=color,
            marker="o",
            markersize=4,
            capsize=3,
        )
    shares = sorted(set(points["labels"]))
    panel.set(
        title=title, xlabel="labels (% of the training set)", ylabel="test accuracy", xscale="log"
    )
    panel.set_xticks(shares, [str(share) for share in shares], minor=False)
    panel.minorticks_off()


def _by_depth(points: pd.DataFrame, share: int, panel: Axes, inits: Sequence[str]) -> None:
    for _, row in points.iterrows():
        stages = row["stages"]
        panel.plot(
            list(stages),
            list(stages.values()),
            color=figures.color(inits.index(row["init"])),
            marker="o",
            markersize=4,
        )
    panel.set(title=f"Linear probe of each stage, {share}% of the labels", ylabel="test accuracy")


def _by_epoch(
    curves: Mapping[str, pd.DataFrame], share: int, measure: str, panel: Axes, inits: Sequence[str]
) -> None:
    figures.draw_lines(panel, curves, inits, measure)
    title = {"accuracy": "accuracy", "loss": "cross-entropy"}[measure]
    panel.set(title=f"Fine-tuned: {title}, {share}% of the labels", xlabel="epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
