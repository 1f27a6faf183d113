"""Results over seeds, <folder>/<name>/<seed>/, as tables and figures: mean and standard deviation where n > 1."""

import itertools
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from colorpipe.config import parse_yaml
from colorpipe.evaluation import grids
from colorpipe.report import color_figures, figures, tables
from colorpipe.report.results import loss_label
from colorpipe.report.tables import COLOR_SCORES, GRAY_BASELINE, ORIGINAL, SCORES
from colorpipe.runtime.errors import UserError

# Params that may differ: each result has its own, or they are of data sets that were not used.
OWN = ("seed", "pretext.inits", "datasets.photos.md5", "datasets.photos96.md5")
PRETEXT = "pretext"  # a folder of it for each initialization: <folder>/pretext/<init>/<seed>/


@dataclass(frozen=True)
class Run:
    """The result of one seed: its metrics and what identifies them, history, params, and where it ran."""

    metrics: dict
    history: pd.DataFrame
    params: dict
    about: dict


def load(folder: Path) -> dict[str, list[Run]]:
    """The runs of each name, by seed; MSE before other losses, a lower loss first; the pretext task, of all inits, last.

    Raises UserError for runs of a name that differ in params, and for a folder without results.
    """
    found: dict[str, list[Run]] = {}
    paths = [
        path for path in folder.glob("**/metrics.json") if path.parent.name.isdigit()
    ]  # others are incomplete
    for path in sorted(paths, key=lambda path: (str(path.parents[1]), int(path.parent.name))):
        about, metrics = (
            json.loads((path.parent / f"{name}.json").read_text()) for name in ("about", "metrics")
        )
        params = parse_yaml((path.parent / "params.yaml").read_text())
        name = path.parents[1].relative_to(folder)
        runs = found.setdefault(PRETEXT if name.parts[:1] == (PRETEXT,) else name.as_posix(), [])
        runs.append(Run(metrics, pd.read_csv(path.parent / "curves.csv"), params, about))
        identity = (params["dataset"], params["seed"], path.parent.name)
        if identity != (metrics["data"], metrics["seed"], str(metrics["seed"])):
            raise UserError(
                f"{path.parent}: its params, its metrics and its name belong to different runs: remove it"
            )
        if different := differences(runs[0].params, params):
            raise UserError(
                f"{path.parent} was run with a different {different[0]} than the others: remove one"
            )
    if not found:
        raise UserError(f"{folder} holds no results: run make cifar10 ARCHIVE=... OUT={folder}")

    def order(name: str) -> tuple:
        if name == PRETEXT:
            return (True,)
        loss = loss_label(found[name][0].metrics)
        return False, loss != "mse", loss, _mean(found[name], _test("loss"))

    return {name: found[name] for name in sorted(found, key=order)}


def differences(one: dict, other: dict, prefix: str = "") -> list[str]:
    """The params, by dotted name, in which two runs differ, but for those of OWN.

    A key that only one of them has is newer than the other run: it is ignored.
    """
    found = []
    for key in sorted(one.keys() & other.keys()):
        name, values = f"{prefix}{key}", (one[key], other[key])
        if all(isinstance(value, dict) for value in values):
            found += differences(*values, prefix=f"{name}.")
        elif values[0] != values[1] and name not in OWN:
            found.append(name)
    return found


def draw(folder: Path) -> None:
    """Draw overview.png (test images, each colorizer's first seed), colorfulness.png and curves.png."""
    found = load(folder)
    colorizers = {name: runs for name, runs in found.items() if name != PRETEXT}
    if colorizers:
        color_figures.error_against_colorfulness(folder / "colorfulness.png", _means(colorizers))
        losses = {name: runs[0].metrics["loss"] for name, runs in colorizers.items()}
        frames = {name: _frames(runs) for name, runs in colorizers.items()}
        figures.training_curves(folder / "curves.png", frames, losses)
        groups: dict[bytes, dict[str, Path]] = {}  # by the test images that their grids show
        for name, runs in colorizers.items():
            grid = folder / name / str(runs[0].metrics["seed"]) / "grid.png"
            groups.setdefault(_originals(grid), {})[name] = grid
        grids.compare(folder / "overview.png", list(groups.values()))


def _originals(grid: Path) -> bytes:
    """The pixels of a grid's lower quarter, which is of original images alone."""
    with Image.open(grid) as image:
        return image.crop((0, image.height * 3 // 4, *image.size)).tobytes()


def _means(colorizers: dict[str, list[Run]]) -> pd.DataFrame:
    """Return colorfulness and ab MSE of colorizers, gray baseline and originals, over seeds."""
    rows = [
        {"colorizer": name, **_point(runs, lambda run: run.metrics)}
        for name, runs in colorizers.items()
    ]
    runs = next(iter(colorizers.values()))
    rows.append({"colorizer": GRAY_BASELINE, **_point(runs, lambda run: run.metrics["baseline"])})
    originals = {"colorizer": ORIGINAL, "colorfulness": runs[0].metrics["original_colorfulness"]}
    return pd.DataFrame([*rows, originals]).assign(data=runs[0].metrics["data"])


def _point(runs: list[Run], metrics: Callable[[Run], dict]) -> dict[str, float]:
    return {
        "colorfulness": _mean(runs, lambda run: metrics(run)["colorfulness"]),
        "ab MSE": _mean(runs, lambda run: metrics(run)["test"]["mse"]),
    }


def _frames(runs: list[Run]) -> pd.DataFrame:
    return pd.concat([run.history for run in runs])


def colorizers_table(folder: Path) -> str:
    """Return a Markdown table: a row per colorizer, and after each loss the gray baseline."""
    rows = []
    found = [(name, runs) for name, runs in load(folder).items() if name != PRETEXT]
    for number, (name, runs) in enumerate(found):
        metrics = runs[0].metrics
        best = ", ".join(str(run.metrics["best_epoch"]) for run in runs)
        rows.append(
            {
                "colorizer": name,
                "loss": loss_label(metrics) + _temperature(metrics),
                "seeds": str(len(runs)),
                "epochs (best)": f"{len(runs[0].history)} ({best})",
                **_scores(runs, _test),
                **_paper(name, metrics),
            }
        )
        loss = loss_label(metrics)
        if number + 1 == len(found) or loss_label(found[number + 1][1][0].metrics) != loss:
            rows.append({"colorizer": GRAY_BASELINE, "loss": loss, **_scores(runs[:1], _baseline)})
    shown = [(column, f"paper's {column.split()[-1]}") for column in _scores(found[0][1], _test)]
    columns = ["colorizer", "loss", "seeds", "epochs (best)", *itertools.chain(*shown)]
    return tables.to_markdown(pd.DataFrame(rows).reindex(columns=columns).dropna(axis=1, how="all"))


def short_table(folder: Path) -> str:
    """Return six columns in Markdown for colorizers, the gray baseline and the originals."""
    found = {name: runs for name, runs in load(folder).items() if name != PRETEXT}

    def row(name: str, runs: list[Run], metrics: Callable[[Run], dict]) -> dict[str, str]:
        return {
            "colorizer": name + _temperature(metrics(runs[0])),
            "ab MSE": _cell(runs, lambda run: metrics(run)["test"]["mse"], 1),
            "ab SSIM": _cell(runs, lambda run: metrics(run)["test"]["ssim"], 3),
            "paper's SSIM": _paper(name, runs[0].metrics).get("paper's SSIM", ""),
            "RGB PSNR": _cell(runs, lambda run: metrics(run)["rgb"]["psnr"], 2),
            "colorfulness": _cell(runs, lambda run: metrics(run)["colorfulness"], 1),
        }

    rows = [row(name, runs, lambda run: run.metrics) for name, runs in found.items()]
    runs = next(iter(found.values()))
    rows.append(row(GRAY_BASELINE, runs[:1], lambda run: run.metrics["baseline"]))
    rows.append(
        {"colorizer": ORIGINAL, "colorfulness": f"{runs[0].metrics['original_colorfulness']:.1f}"}
    )
    return tables.to_markdown(pd.DataFrame(rows))


def colors_table(folder: Path) -> str:
    """Return the metrics of docs/metrics.md for colorizers, gray baseline and originals.

    The table is Markdown. Results of earlier code have only some of the metrics.
    """
    found = {name: runs for name, runs in load(folder).items() if name != PRETEXT}
    columns = {column: SCORES[column] for column in ("ab MSE", "colorfulness")} | COLOR_SCORES

    def row(colorizer: str, seeds: str, metrics: list[dict]) -> dict[str, str]:
        frame = pd.json_normalize(metrics)  # "test.mse" and so on
        shown = {
            name: key
            for name, (key, _) in columns.items()
            if key in frame and frame[key].notna().all()
        }
        cells = {
            name: _spread(list(frame[key]), columns[name][1] or 2) for name, key in shown.items()
        }
        return {"colorizer": colorizer, "seeds": seeds, **cells}

    rows = [
        row(name, str(len(runs)), [run.metrics for run in runs]) for name, runs in found.items()
    ]
    newest = max(
        (run.metrics for runs in found.values() for run in runs),
        key=lambda metrics: len(metrics["baseline"]),
    )
    originals = {
        key.removeprefix("original_"): value
        for key, value in newest.items()
        if key.startswith("original_")
    }
    rows += [row(GRAY_BASELINE, "", [newest["baseline"]]), row(ORIGINAL, "", [originals])]
    shown = [
        "colorizer",
        "seeds",
        *(column for column in columns if any(column in one for one in rows)),
    ]
    return tables.to_markdown(pd.DataFrame(rows).reindex(columns=shown))


def temperatures_table(folder: Path) -> str:
    """A row for each re-balancing and temperature of the runs in a folder, on validation images, in Markdown."""
    shown = {
        "ab MSE": ("mse", 1),
        "colorfulness": ("colorfulness", 1),
        "originals": ("original_colorfulness", 1),
    }
    shown |= {"AuC": ("auc", 3), "AuC re-balanced": ("auc_rebalanced", 3)}
    rows = []
    for name, runs in load(folder).items():
        for points in zip(*(run.metrics.get("temperatures", []) for run in runs), strict=True):
            best = ", ".join(str(run.metrics["best_epoch"]) for run in runs)
            rows.append(
                {
                    "lambda": f"{runs[0].params['losses']['classification']['rebalancing']:g}",
                    "T": f"{points[0]['temperature']:g}",
                    **{
                        column: _spread([point[key] for point in points], digits)
                        for column, (key, digits) in shown.items()
                    },
                    "colorizer": Path(name).name,
                    "seeds": str(len(runs)),
                    "epochs (best)": f"{len(runs[0].history)} ({best})",
                }
            )
    if not rows:
        raise UserError(f"{folder} holds no colorizer with a head over the bins")
    by_number = {"key": lambda column: column.astype(float), "kind": "stable"}
    table = pd.DataFrame(rows).sort_values(["lambda", "T"], ascending=[True, False], **by_number)
    return tables.to_markdown(table.sort_values("colorizer", ascending=False, kind="stable"))


def _temperature(metrics: dict) -> str:
    """At which T a head over the bins was decoded."""
    return f", T {metrics['temperature']:g}" if "temperature" in metrics else ""


def _paper(name: str, metrics: dict) -> dict[str, str]:
    """The paper's numbers; where our LPIPS is on another VGG, marked as those on ImageNet's."""
    cells = {
        column: f"{number:.3f}" for column, number in tables.paper_numbers(name, metrics).items()
    }
    if cells and metrics.get("lpips_weights") == "random":
        loss = tables.PAPER[name, metrics["loss"]]["paper's loss"]
        cells = {"paper's loss": f"{loss:.3f} (ImageNet VGG)", **cells}
    return cells


def runs_table(folder: Path) -> str:
    """What was run where: a row for each command that reproduces these results, in Markdown."""
    commands: dict[tuple[str, ...], list[str]] = {}
    for runs in load(folder).values():
        for run in runs:
            about = run.about
            versions = ", ".join(
                f"{name} {about[name]}" for name in ("Python", "torch", "numpy", "dvc")
            )
            seeds = commands.setdefault(
                (about["run"], about["settings"], about["commit"], about["hardware"], versions), []
            )
            if str(run.metrics["seed"]) not in seeds:
                seeds.append(str(run.metrics["seed"]))
    rows = [
        {
            "command": f"`make cifar10 ARCHIVE=… RUNS={name} SEEDS='{' '.join(seeds)}' SET={quoted(settings)}`",
            "commit": commit,
            "hardware": hardware,
            "versions": versions,
        }
        for (name, settings, commit, hardware, versions), seeds in commands.items()
    ]
    return tables.to_markdown(pd.DataFrame(rows))


def quoted(settings: str) -> str:
    """Settings, each quoted for a shell where it needs to be, as one value of a command."""
    return f'"{settings}"' if "'" in settings else f"'{settings}'"


Score = Callable[[Run], float]


def _test(key: str) -> Score:
    return lambda run: run.metrics["test"][key]


def _baseline(key: str) -> Score:
    return lambda run: run.metrics["baseline"]["test"][key]


def _scores(runs: list[Run], score: Callable[[str], Score]) -> dict[str, str]:
    loss = _mean(runs, score("loss"))
    return {
        "test loss": _cell(runs, score("loss"), 2 if loss >= 10 else 4),
        "ab SSIM": _cell(runs, score("ssim"), 3),
        "ab PSNR": _cell(runs, score("psnr"), 2),
        "ab MSE": _cell(runs, score("mse"), 1),
    }


def _mean(runs: list[Run], score: Score) -> float:
    return statistics.mean(map(score, runs))


def _cell(runs: list[Run], score: Score, digits: int) -> str:
    return _spread([score(run) for run in runs], digits)


def _spread(values: list[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean
