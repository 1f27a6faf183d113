"""The figures and the page of a study, with means and intervals over seeds."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from colorpipe import config
from colorpipe.evaluation import grids
from colorpipe.evaluation.table import METRICS
from colorpipe.report import color_figures, figures, page
from colorpipe.report.pretext_results import PRETEXT_CAPTION, draw_pretext, pretext_figures
from colorpipe.report.results import CURVE_TITLES, split_label
from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL, paper_numbers
from experiments.collect import CURVE_KEYS, IDENTITY
from experiments.seeds import half_width

PRETEXT = "pretext/"  # starts the names of the pretext task's results


def write(out: Path, results: pd.DataFrame, curves: pd.DataFrame, decodings: pd.DataFrame) -> None:
    """Write index.html, curves.png, colorfulness.png, overview.png and pretext.png.

    Args:
        out: The folder. It has the test images of the colorizers in images/.
        results: The rows of results.csv, with a column `line`: the name of a line of the tables,
            which is of one data set.
        curves: The rows of curves.csv.
        decodings: The rows of decodings.csv.
    """
    is_pretext = results["colorizer"].str.startswith(PRETEXT)
    colorizers, pretext = results[~is_pretext], split_names(results[is_pretext])
    points, runs = average_accuracies(pretext)
    histories = pivot_curves(curves, results)
    classifiers = {runs[line]: history for line, history in histories.items() if line in runs}
    if len(pretext):
        draw_pretext(out / "pretext.png", points, classifiers)
    trained = colorizers[colorizers["colorizer"] != GRAY_BASELINE].drop_duplicates("line")
    if trained.empty:
        return
    scores, half_widths = average_scores(colorizers)
    losses = dict(zip(colorizers["line"], colorizers["loss"], strict=True))
    histories = {line: history for line, history in histories.items() if line in losses}
    figures.draw_training_curves(out / "curves.png", histories, losses)
    paths = average_paths(decodings, colorizers)
    color_figures.draw_error_against_colorfulness(out / "colorfulness.png", scores, paths)
    images = {line: image_path(out, line) for line in trained["line"]}
    sets = dict(zip(trained["line"], trained["data"], strict=True))
    groups = [
        {line: path for line, path in images.items() if sets[line] == data}
        for data in dict.fromkeys(sets.values())
    ]
    grids.combine(out / "overview.png", groups)
    content = page.Content(
        scores=scores,
        half_widths=half_widths,
        grids=images,
        colorfulness=color_figures.colorfulness_figures(scores, paths),
        has_paths=bool(paths),
        curves=figures.training_curve_figures(histories, losses),
        pretext=accuracy_table(points),
        pretext_note=PRETEXT_CAPTION if len(pretext) else "The study has no pretext task.",
        pretext_figures=pretext_figures(points, classifiers) if len(pretext) else {},
        training_runs=training_runs_table(results),
        facts=describe_runs(results),
        settings="\n".join(f"{row.line}: {row.settings}" for row in trained.itertuples()),
    )
    page.write(out / "index.html", content)


def separate_data_sets(results: pd.DataFrame) -> pd.DataFrame:
    """Append the data set to the name of each line that has several data sets.

    The gray baseline keeps its name, because the tables on the page name the data set.
    """
    sets = results.groupby("line")["data"].transform("nunique")
    shared = (sets > 1) & (results["colorizer"] != GRAY_BASELINE)
    named = results["line"] + " on " + results["data"]
    return results.assign(line=results["line"].mask(shared, named))


def image_path(out: Path, line: str) -> Path:
    """Return the path of the test images of a line of the tables."""
    return out / "images" / f"{line.replace('/', '-')}.png"


def split_names(pretext: pd.DataFrame) -> pd.DataFrame:
    """Return results of the pretext task with the columns init, mode, labels and variant.

    `variant` tells lines of the same classifier apart, such as "(train.lr=0.1)".
    """
    pattern = rf"{PRETEXT}(?P<init>.+)-(?P<mode>\w+)-(?P<labels>\d+)"
    names = pretext["colorizer"].str.extract(pattern).astype({"labels": int})
    names["variant"] = [
        line.removeprefix(name).strip()
        for line, name in zip(pretext["line"], pretext["colorizer"], strict=True)
    ]
    return pretext.join(names)


def average_scores(colorizers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the means and half the 95 % intervals of the scores over seeds, for the page."""
    titles = {metric.key: metric.title for metric in METRICS if metric.key in colorizers}
    lines, half_widths = [], []
    for (data, line), rows in colorizers.groupby(["data", "line"], sort=False):
        name, loss = rows[["colorizer", "loss"]].iloc[0]
        is_baseline = name == GRAY_BASELINE
        loss_name, vgg = split_label(loss)
        run = {"data": data, "loss": loss_name, "lpips_weights": vgg}
        lines.append(
            {
                "colorizer": name if is_baseline else line,
                "data": data,
                "n": rows["n"].max(),
                "loss": loss,
                "seeds": rows["seed"].nunique(),
                **{title: rows[key].mean() for key, title in titles.items()},
                **paper_numbers(name, run),
            }
        )
        widths = {title: half_width(rows[key]) for key, title in titles.items()}
        half_widths.append({} if is_baseline else widths)
        if is_baseline:
            colorfulness = rows["original_colorfulness"].mean()
            lines.append({"colorizer": ORIGINAL, "data": data, "colorfulness": colorfulness})
            half_widths.append({})
    return pd.DataFrame(lines), pd.DataFrame(half_widths)


def average_paths(decodings: pd.DataFrame, colorizers: pd.DataFrame) -> color_figures.Paths:
    """Return the paths from faithful to vivid on the test images, averaged over seeds, by line."""
    if decodings.empty:
        return {}
    rows = decodings[decodings["part"] == "test"].merge(
        colorizers[[*IDENTITY, "line"]], on=IDENTITY
    )
    points = rows.groupby(["line", "vividness"])[["colorfulness", "mse"]].mean()
    return {
        str(line): list(path.itertuples(index=False, name=None))
        for line, path in points.groupby("line")
    }


def average_accuracies(
    pretext: pd.DataFrame,
) -> tuple[pd.DataFrame, dict[str, config.PretextRun]]:
    """Return the mean accuracies of the classifiers over seeds, and the classifier of each line.

    The columns are those of `draw_pretext` and seeds.
    """
    runs, points = {}, []
    for line, rows in pretext.groupby("line", sort=False):
        init, mode, labels, variant = rows[["init", "mode", "labels", "variant"]].iloc[0]
        runs[str(line)] = config.PretextRun(f"{init} {variant}".strip(), mode, int(labels))
        stages = rows.filter(like="stages.").mean().dropna()
        stages.index = stages.index.str.removeprefix("stages.")
        points.append(
            {
                **runs[str(line)]._asdict(),
                "seeds": len(rows),
                "accuracy": rows["top1"].mean(),
                "half_width": half_width(rows["top1"]) if len(rows) > 1 else 0.0,
                "stages": dict(stages),
            }
        )
    return pd.DataFrame(points), runs


def accuracy_table(points: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies of the pretext task with their 95 % intervals as text."""
    if points.empty:
        return points
    table = points[["mode", "labels", "init", "seeds"]].copy()
    intervals = points["half_width"].map(lambda width: f" ± {width:.3f}" if width else "")
    table["test accuracy"] = points["accuracy"].map("{:.3f}".format) + intervals
    return table.sort_values(["mode", "labels", "init"]).rename(columns={"labels": "labels (%)"})


def pivot_curves(curves: pd.DataFrame, results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the training histories of each line of the table, with a column per metric."""
    if curves.empty:
        return {}
    curves = curves.merge(results[[*CURVE_KEYS, "line"]], on=CURVE_KEYS)
    names = {title: metric for metric, title in CURVE_TITLES.items()}
    part = curves["part"].map({"training": "train_", "validation": "val_"})
    curves["column"] = part + curves["metric"].map(names).fillna("loss")
    return {
        str(line): rows.pivot_table(
            "value", ["experiment", "seed", "epoch"], "column"
        ).reset_index()
        for line, rows in curves.groupby("line", sort=False)
    }


def training_runs_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return the duration, the epochs and the commit of each training run."""
    trained = results[results["epochs"] > 0]
    return pd.DataFrame(
        {
            "training": trained["line"],
            "seed": trained["seed"],
            "epochs": trained["epochs"].astype(int),
            "best epoch": trained["best_epoch"].astype("Int64"),
            "minutes": trained["seconds"].astype(float) / 60,
            "commit": trained["commit"],
        }
    )


def describe_runs(results: pd.DataFrame) -> Mapping[str, str]:
    """Return where the training runs of a study took place, with which seeds and versions."""
    columns = {"Hardware": "hardware", "torch": "torch", "CPU threads": "threads", "Seeds": "seed"}
    return {
        title: "; ".join(
            f"{value:g}" if isinstance(value, float) else str(value) for value in values
        )
        for title, column in columns.items()
        if len(values := sorted(results[column].dropna().unique()))
    }
