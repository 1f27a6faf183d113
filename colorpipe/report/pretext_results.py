"""The results of the pretext task: a table, and a figure of accuracy by labels, depth and epoch."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colorpipe.config import PretextConfig, PretextRun
from colorpipe.report.figures import (
    add_legend,
    draw_lines,
    line_color,
    panel_grid,
    save,
    tidy,
    to_svg,
)
from colorpipe.report.results import Result, load_results

MODES = {
    "finetune": "Fine-tuned",
    "probe": "Linear probe, last stage",
    "knn": "k nearest neighbors, last stage",
}
PRETEXT_CAPTION = (
    "The pretext task tests whether an encoder that has learned to color helps to classify images. "
    "Each classifier starts from a colorizer's encoder or from a reference encoder. "
    "finetune trains the whole network, probe trains a linear layer on frozen features, and knn "
    "looks up the nearest neighbors of frozen features. Labels is the percentage of the training "
    "labels. First and last train accuracy are those of the first and of the last epoch. Test "
    "accuracy and test loss (cross-entropy) are those of the best epoch, which has the lowest "
    "validation loss. The best epoch of a probe has the lowest validation loss on the last stage."
)
PAGE_COLUMNS = (
    "test accuracy",
    "test loss",
    "first train accuracy",
    "last train accuracy",
    "epoch",
)

DrawPanel = Callable[[Axes, Sequence[str]], None]  # the inits decide the colors
Curves = Mapping[PretextRun, pd.DataFrame]


def load_pretext_results(settings: PretextConfig) -> tuple[dict[PretextRun, Result], str]:
    """Load the results of the runs in params.yaml, in their order, and the caption of their table.

    If the data set has no classes, there are no results and the caption gives the reason.

    Raises:
        UserError: A file is missing or damaged.
    """
    runs = {Path(run.name).name: run for run in settings.runs()}
    results = load_results(list(runs), "pretext")
    reason = next(iter(results.values())).evaluation.get("left_out")
    if reason:  # All runs share a data set, so all of them are left out.
        return {}, f"The pretext task is left out: {reason}."
    return {run: results[name] for name, run in runs.items()}, PRETEXT_CAPTION


def pretext_table(results: Mapping[PretextRun, Result], histories: Curves) -> pd.DataFrame:
    """Return one row per run, with accuracies in [0, 1].

    Args:
        results: The results by run.
        histories: The training history of each run. It has no epochs if nothing was trained (knn).
    """
    rows = []
    for run, result in results.items():
        row = {
            "init": run.init,
            "mode": run.mode,
            "labels": run.labels,
            "test accuracy": result.metrics["top1"],
            **{key: result.evaluation[key] for key in ("data", "n", "seed")},
        }
        history = histories[run]
        if len(history):
            row |= {
                "epoch": result.evaluation["best_epoch"],
                "first train accuracy": history["train_accuracy"].iloc[0],
                "last train accuracy": history["train_accuracy"].iloc[-1],
                "last train loss": history["train_loss"].iloc[-1],
                "test loss": result.metrics["test.loss"],
            }
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({"epoch": "Int64"}) if "epoch" in table else table


def select_page_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a table of the pretext task that the page shows.

    Args:
        table: Rows with the columns init, mode and labels, and any of PAGE_COLUMNS.
    """
    if table.empty:
        return table
    names = [f"{row.init}, {row.mode}, {row.labels} %" for row in table.itertuples()]
    shown = table[[column for column in PAGE_COLUMNS if column in table]]
    shown = shown.rename(columns={"epoch": "best epoch"})
    shown.insert(0, "encoder, mode, labels", names)
    return shown


def tabulate_accuracies(results: Mapping[PretextRun, Result]) -> pd.DataFrame:
    """Return the accuracies of one seed in the columns that `draw_pretext` takes."""
    rows = [
        {
            **run._asdict(),
            "accuracy": result.metrics["top1"],
            "half_width": 0.0,
            "stages": result.evaluation.get("stages", {}),
        }
        for run, result in results.items()
    ]
    return pd.DataFrame(rows, columns=[*PretextRun._fields, "accuracy", "half_width", "stages"])


def draw_pretext(path: Path, points: pd.DataFrame, curves: Curves) -> None:
    """Draw accuracy by labels, linear probes by depth, and the training curves of fine-tuning.

    Accuracy by labels is drawn if there are several percentages of labels.

    Args:
        path: The PNG to write.
        points: One row per run. The columns are init, mode, labels, accuracy in [0, 1],
            half_width (half the accuracy's interval) and stages (accuracies by stage of a probe).
        curves: The training histories. The histories of several seeds are one below the other.
    """
    inits = list(dict.fromkeys(points["init"]))
    rows = _panel_rows(points, curves)
    size = (4.4 * max(map(len, rows)) + 0.6, 3.4 * len(rows) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        for panel, draw in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            draw(panel, inits)
            tidy(panel)
    add_legend(figure, inits)
    save(figure, path)


def pretext_figures(points: pd.DataFrame, curves: Curves) -> dict[str, str]:
    """Return the panels of `draw_pretext` by title, as SVG data URLs."""
    inits = list(dict.fromkeys(points["init"]))
    figures = {}
    for draw in itertools.chain(*_panel_rows(points, curves)):
        figure, (panel,) = panel_grid(1, 1, width=4.2, height=3)
        draw(panel, inits)
        tidy(panel)
        add_legend(figure, inits, columns=3)
        figures[panel.get_title()] = to_svg(figure)
    return figures


def _panel_rows(points: pd.DataFrame, curves: Curves) -> list[list[DrawPanel]]:
    """Return the functions that draw the panels, by row. There is at least one panel."""
    tuned = {run: curves[run] for run in curves if run.mode == "finetune"}
    labels, modes = (list(dict.fromkeys(points[column])) for column in ("labels", "mode"))
    rows: list[list[DrawPanel]] = []
    if len(labels) > 1:
        by_mode = {mode: points[points["mode"] == mode] for mode in modes}
        rows.append([partial(_draw_by_labels, by_mode[mode], MODES[mode]) for mode in modes])
    if "probe" in modes:
        probes = points[points["mode"] == "probe"]
        rows.append([partial(_draw_by_depth, probes[probes["labels"] == n], n) for n in labels])
    if tuned:
        accuracy: list[DrawPanel] = [partial(_draw_by_epoch, tuned, n, "accuracy") for n in labels]
        loss: list[DrawPanel] = [partial(_draw_by_epoch, tuned, n, "loss") for n in labels]
        rows += [accuracy, loss] if len(labels) > 1 else [accuracy + loss]
    return rows or [[partial(_draw_by_labels, points, MODES["knn"])]]


def _draw_by_labels(points: pd.DataFrame, title: str, panel: Axes, inits: Sequence[str]) -> None:
    for init, rows in points.groupby("init"):
        panel.errorbar(
            rows["labels"],
            rows["accuracy"],
            yerr=rows["half_width"],
            color=line_color(inits.index(str(init))),
            marker="o",
            markersize=4,
            capsize=3,
        )
    percents = sorted(set(points["labels"]))
    panel.set(title=title, xlabel="labels (% of the training set)", ylabel="test accuracy")
    panel.set_xscale("log")
    panel.set_xticks(percents, list(map(str, percents)), minor=False)
    panel.minorticks_off()


def _draw_by_depth(points: pd.DataFrame, percent: int, panel: Axes, inits: Sequence[str]) -> None:
    for _, row in points.iterrows():
        color = line_color(inits.index(row["init"]))
        names, values = list(row["stages"]), list(row["stages"].values())
        panel.plot(names, values, color=color, marker="o", markersize=4)
    panel.set(title=f"Linear probe of each stage, {percent}% of the labels", ylabel="test accuracy")


def _draw_by_epoch(
    curves: Curves, percent: int, metric: str, panel: Axes, inits: Sequence[str]
) -> None:
    histories = {run.init: frame for run, frame in curves.items() if run.labels == percent}
    draw_lines(panel, histories, inits, metric)
    title = {"accuracy": "accuracy", "loss": "cross-entropy"}[metric]
    panel.set_title(f"Fine-tuned: {title}, {percent}% of the labels")
