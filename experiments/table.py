"""Tabulate DVC experiments: mean and standard deviation over seeds, and paired differences.

    python -m experiments.table                                 # list the experiments at hand
    python -m experiments.table 'seeds-*' --out results/mine    # tabulate them over their seeds

The results are added to those in the folder, so a long study can be tabulated in pieces. A result
of the same colorizer, seed and settings is replaced.
"""

import argparse
import fnmatch
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import scipy.stats
from dvc import api
from dvc.exceptions import DvcException
from dvc.repo import Repo

from colorpipe import config, files
from colorpipe.evaluation import grids
from colorpipe.evaluation.table import METRICS
from colorpipe.report import color_figures, figures
from colorpipe.report.pretext_results import draw_pretext
from colorpipe.report.results import CURVES, loss_label, stack_curves
from colorpipe.report.tables import GRAY_BASELINE, to_markdown
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main

IDENTITY = ["colorizer", "seed", "settings"]
RECORD = ["parameters", "device", "hardware", "torch", "threads", "seconds"]  # of a training
TITLES = {metric.key: metric.title for metric in METRICS if metric.tracked}
MACHINE_KEYS = ("source", "md5", "sha256")  # of params.yaml; their values belong to a machine
WIDTH = 100  # columns of a terminal


class Experiment(NamedTuple):
    """A DVC experiment.

    Attributes:
        name: Its name.
        revision: Its git revision.
        commit: The commit that it was run from.
        params: Its parameters by dotted key.
        changes: The parameters that differ from the commit's, except the seed.
    """

    name: str
    revision: str
    commit: str
    params: dict[str, Any]
    changes: dict[str, Any]


def find_experiments(patterns: list[str]) -> list[Experiment]:
    """Return the experiments whose names match a pattern such as 'seeds-*'. No pattern: all."""
    experiments = []
    with Repo() as repo:
        commits = repo.experiments.ls(all_commits=True)
    for commit, entries in commits.items():
        base = flatten(api.params_show(rev=commit))
        for name, revision in entries:
            if patterns and not any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                continue
            params = flatten(api.params_show(rev=revision))
            changes = {
                key: "..." if key.endswith(MACHINE_KEYS) else value
                for key, value in params.items()
                if key != "seed" and value != base.get(key)
            }
            experiments.append(Experiment(name, revision, commit[:7], params, changes))
    if not experiments:
        raise UserError(
            f"no experiment matches {' '.join(patterns)}: `dvc exp list --all-commits` shows them"
            if patterns
            else "there are no experiments: make some with `dvc exp run`"
        )
    return sorted(experiments)


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one dictionary with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def read(experiment: Experiment, path: Path) -> bytes:
    """Return a file of an experiment, from git or DVC's cache.

    Raises:
        UserError: The experiment has no such file.
    """
    try:
        content: bytes = api.read(str(path), rev=experiment.revision, mode="rb")
    except (DvcException, OSError) as error:
        raise UserError(
            f"{experiment.name}: {path} cannot be read ({error}): run `dvc exp pull` if another "
            "clone made it"
        ) from None
    return content


def find_results(experiment: Experiment) -> Iterator[str]:
    """Yield the names of the results that were made with the experiment's parameters.

    An experiment that ran some stages also contains the committed results of the others. A result
    belongs to the experiment if all parameters of its stages in dvc.lock have the experiment's
    values.

    Yields:
        The name of a result, as `files.metrics_path` takes it.
    """
    stages = config.parse_yaml(read(experiment, Path("dvc.lock")).decode())["stages"]
    groups = {"evaluate": "", "baseline": "baseline/", "pretext": "pretext/"}
    own = {experiment.params["dataset"], experiment.params["large_dataset"]}
    for stage, entry in stages.items():
        kind, _, key = stage.partition("@")
        if kind not in groups:
            continue
        entries = [entry, stages.get(f"train@{key}", entry)]
        locked = [flatten(item.get("params", {}).get("params.yaml", {})) for item in entries]
        fresh = all(
            experiment.params.get(name, value) == value
            for params in locked
            for name, value in params.items()
        )
        data = entry["cmd"].split("--data ")[1].split()[0]
        if fresh and data in own:
            yield groups[kind] + key


def read_result(experiment: Experiment, name: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return a result as a row of results.csv, and its training history in long format."""
    evaluation = json.loads(read(experiment, files.evaluation_path(name)))
    scores = flatten(evaluation) | flatten(json.loads(read(experiment, files.metrics_path(name))))
    pretext = name.startswith("pretext/")
    ignored = ("pretext.inits", "pretext.modes", "pretext.labels") if pretext else ("pretext.",)
    settings = {
        key: value for key, value in experiment.changes.items() if not key.startswith(ignored)
    }
    row = {
        "colorizer": GRAY_BASELINE if name.startswith("baseline/") else name,
        "seed": evaluation.get("seed", experiment.params["seed"]),
        "settings": " ".join(f"{key}={value}" for key, value in settings.items()),
        "data": evaluation["data"],
        "n": evaluation.get("n"),
        "loss": loss_label(evaluation),
        **{metric.key: scores[metric.key] for metric in METRICS if metric.key in scores},
        **{key: value for key, value in scores.items() if key.startswith("stages.")},
        "commit": experiment.commit,
    }
    if name.startswith("baseline/"):
        return row, pd.DataFrame()
    content = read(experiment, files.curves_path(name))
    history = pd.read_csv(io.BytesIO(content))
    row |= {"epochs": len(history), "best_epoch": evaluation.get("best_epoch")}
    record_path = files.run_record_path(content)
    record = json.loads(record_path.read_text()) if record_path.is_file() else {}
    row |= {key: record.get(key) for key in RECORD}
    if history.empty:
        return row, history
    label = "cross-entropy" if pretext else row["loss"]
    curves = stack_curves({name: history}, {name: label}).rename(columns={"name": "colorizer"})
    return row, curves.assign(**{key: row[key] for key in IDENTITY[1:]})


def merge(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return both tables, with the new rows in place of old rows of the same identity."""
    if old.empty or new.empty:
        return new if old.empty else old
    keys = pd.MultiIndex.from_frame(new[IDENTITY].astype(str))
    kept = old[~pd.MultiIndex.from_frame(old[IDENTITY].astype(str)).isin(keys)]
    return pd.concat([kept, new], ignore_index=True).sort_values(IDENTITY, kind="stable")


def refuse_mixtures(results: pd.DataFrame) -> None:
    """Raise UserError if the runs of a colorizer differ in more than the seed and the commit."""
    for name, rows in results.groupby("colorizer"):
        if rows["settings"].nunique() > 1:
            settings = "; ".join(map(repr, rows["settings"].unique()))
            raise UserError(
                f"{name} was run with several settings: {settings}: name fewer experiments, use "
                "another --out, or tabulate each setting as a line of its own with --mix"
            )


def format_line(rows: pd.DataFrame, key: str) -> str:
    """Return mean and standard deviation over seeds, with four significant digits of the mean."""
    values = rows[key].dropna()
    if values.empty:
        return ""
    text = f"{values.mean():.4g}"
    return f"{text} ± {values.std():.2g}" if len(values) > 1 else text


def tabulate(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per colorizer and setting: the number of seeds, means and deviations."""
    lines = []
    several = results.groupby("colorizer")["settings"].nunique()
    keys = [key for key in TITLES if key in results and results[key].notna().any()]
    for (name, settings), rows in results.groupby(["colorizer", "settings"], sort=False):
        title = f"{name} ({settings or 'default'})" if several[name] > 1 else name
        cells = {TITLES[key]: format_line(rows, key) for key in keys}
        lines.append({"colorizer": title, "seeds": rows["seed"].nunique(), **cells})
    return pd.DataFrame(lines)


def compare(results: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return paired differences to a reference with 95 % t-intervals, over the seeds of both."""
    lines = []
    own = results[results["colorizer"] == reference].drop_duplicates("seed").set_index("seed")
    for name, rows in results.groupby("colorizer", sort=False):
        other = rows.drop_duplicates("seed").set_index("seed")
        seeds = own.index.intersection(other.index)
        if name in (reference, GRAY_BASELINE) or len(seeds) < 2:
            continue
        line = {"colorizer": f"{name} - {reference}", "seeds": len(seeds)}
        for key, title in TITLES.items():
            if key == "test.loss" and set(own["loss"]) != set(other["loss"]):
                continue  # losses of different kinds do not compare
            difference = (other[key] - own[key]).loc[seeds].dropna() if key in results else []
            if len(difference) == len(seeds):
                line[title] = f"{difference.mean():+.4g} ± {half_interval(difference):.2g}"
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def draw(out: Path, results: pd.DataFrame, curves: pd.DataFrame) -> None:
    """Draw the figures: curves over seeds, colorfulness, a grid of images, the pretext task."""
    of_pretext = results["colorizer"].str.startswith("pretext/")
    colorizers, histories = results[~of_pretext], {}
    losses = dict(zip(colorizers["colorizer"], colorizers["loss"], strict=True))
    for name, rows in curves.groupby("colorizer") if len(curves) else ():
        titles = {title: metric for metric, title in CURVES.items()}
        metric = rows["metric"].map(titles).fillna("loss")
        part = rows["part"].map({"training": "train", "validation": "val"})
        wide = rows.assign(column=part + "_" + metric)
        index = ["seed", "settings", "epoch"]
        histories[name] = wide.pivot_table("value", index, "column").reset_index()
    trained = {name: frame for name, frame in histories.items() if name in losses}
    if trained:
        figures.training_curves(
            out / "curves.png", trained, {name: losses[name] for name in trained}
        )
    if len(colorizers):
        means = colorizers.groupby(["colorizer", "data"], sort=False).mean(numeric_only=True)
        means = means.reset_index().rename(columns={"test.mse": "ab MSE"})
        color_figures.error_against_colorfulness(out / "colorfulness.png", means)
    if images := {path.stem: path for path in sorted((out / "images").glob("*.png"))}:
        grids.compare(out / "overview.png", [images])
    if of_pretext.any():
        runs, points = {}, []
        for name, rows in results[of_pretext].groupby("colorizer", sort=False):
            init, mode, labels = name.removeprefix("pretext/").rsplit("-", 2)
            runs[name] = run = config.PretextRun(init, mode, int(labels))
            stages = rows.filter(like="stages.").mean().dropna()
            stages.index = stages.index.str.removeprefix("stages.")
            point = {"accuracy": rows["top1"].mean(), "half": half_interval(rows["top1"])}
            points.append({**run._asdict(), **point, "stages": dict(stages)})
        frames = {run: histories[name] for name, run in runs.items() if name in histories}
        draw_pretext(out / "pretext.png", pd.DataFrame(points), frames)


def half_interval(values: pd.Series) -> float:
    """Return half the width of the 95 % t-interval of a mean, or 0 for a single value."""
    if len(values) < 2:
        return 0.0
    return float(scipy.stats.t.ppf(0.975, len(values) - 1) * values.sem())


def list_experiments(experiments: list[Experiment]) -> str:
    """Return a table of experiments: their settings, and the test loss of each of their results."""
    lines = []
    for experiment in experiments:
        settings = {"seed": experiment.params["seed"], **experiment.changes}
        lines.append(f"{experiment.name}: {' '.join(f'{k}={v}' for k, v in settings.items())}")
        for name in find_results(experiment):
            metrics = flatten(json.loads(read(experiment, files.metrics_path(name))))
            cells = (f"{key} {value:.4g}" for key, value in metrics.items() if value is not None)
            lines.append(f"  {name:<24} {'  '.join(cells)}")
    return "\n".join(line[:WIDTH] for line in lines)


def collect(
    experiments: list[Experiment],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, bytes]]:
    """Return the results, the training histories, and the grid of each colorizer's first seed."""
    rows, curves, images = [], [], {}
    for experiment in sorted(experiments, key=lambda entry: -entry.params["seed"]):
        for name in find_results(experiment):
            row, history = read_result(experiment, name)
            rows.append(row)
            curves.append(history)
            if "/" not in name:
                images[name] = read(experiment, files.grid_path(name))
    if not rows:
        raise UserError("the experiments have no results: did they end? `dvc queue status`")
    return pd.DataFrame(rows), pd.concat(curves, ignore_index=True), images


def load_table(path: Path) -> pd.DataFrame:
    """Return a table that was written before, or an empty one."""
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_csv(path)
    return table.assign(settings=table["settings"].fillna("")) if len(table) else table


def main() -> None:
    """Print the experiments, or write their results, tables and figures into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiments", nargs="*", help="names or patterns (default: all)")
    parser.add_argument("--out", type=Path, help="the folder to write or to add to")
    parser.add_argument("--reference", default="resnet", help="compare with this colorizer")
    parser.add_argument("--mix", action="store_true", help="allow several settings of a colorizer")
    options = parser.parse_args()
    experiments = find_experiments(options.experiments)
    if options.out is None:
        print(list_experiments(experiments))
        return
    new_results, new_curves, images = collect(experiments)
    results = merge(load_table(options.out / "results.csv"), new_results)
    curves = merge(load_table(options.out / "curves.csv"), new_curves)
    if not options.mix:
        refuse_mixtures(results)
    for name, content in images.items():
        with files.atomic_write(options.out / "images" / f"{name}.png") as temporary:
            temporary.write_bytes(content)
    for name, table in (("results", results), ("curves", curves)):
        text = table.to_csv(index=False, float_format="%.6g")
        files.write_text(options.out / f"{name}.csv", text)
    draw(options.out, results, curves)
    tables = [tabulate(results), compare(results, options.reference)]
    text = "\n\n".join(to_markdown(table) for table in tables if len(table))
    files.write_text(options.out / "tables.md", text + "\n")
    print(text)


if __name__ == "__main__":
    run_main(main)
