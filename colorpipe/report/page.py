"""The page: tables, curves, pictures and what was run, in one HTML file that needs no network."""

import base64
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from colorpipe import config, files
from colorpipe.config import PretextRun
from colorpipe.report.conclusions import conclusions
from colorpipe.report.figures import loss_title
from colorpipe.report.tables import NO_COLOR, TRIVIAL, Result
from colorpipe.runtime import machine

ASSETS = Path(__file__).parent / "assets"
FIGURES = ("overview", "colorfulness", "histograms", "pretext")
# Which of two values is better, by column. Rows of the same data compare; for test loss, also of the same loss.
BETTER: dict[str, Any] = {
    "test loss": min,
    "ab SSIM": max,
    "ab PSNR": max,
    "ab MSE": min,
    "RGB SSIM": max,
    "RGB PSNR": max,
    "AuC": max,
    "AuC re-balanced": max,
    "LPIPS": min,
    "RGB MAE %": min,
    "colorfulness distance": min,
    "histogram divergence": min,
    "recognized": max,
    "test accuracy": max,
}
# What the curves can show: the metric's name in the history and, for losses, of which colorizers, as their units differ.
METRICS: dict[str, tuple[str, str | None]] = {
    "SSIM of ab": ("ssim", None),
    "PSNR of ab (dB)": ("psnr", None),
}
PRETEXT_METRICS: dict[str, tuple[str, str | None]] = {
    "Accuracy": ("accuracy", None),
    "Loss: cross-entropy": ("loss", None),
}


@dataclass(frozen=True)
class Table:
    """A table as numbers and as text, and what its columns mean."""

    numbers: pd.DataFrame
    text: pd.DataFrame
    caption: str

    @property
    def columns(self) -> dict[str, bool]:
        """The columns by name, and whether they hold text."""
        return {column: pd.api.types.is_string_dtype(self.numbers[column]) for column in self.text}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows for the template: each cell's value, text and mark."""
        marks = best_and_below(self.numbers)
        found = []
        for number, texts in enumerate(self.text.values.tolist()):
            values = self.numbers.iloc[number]
            cells = [
                {
                    "value": "" if pd.isna(values[column]) else values[column],
                    "text": text,
                    "mark": marks.get(
                        (number, column), "text" if isinstance(values[column], str) else ""
                    ),
                }
                for column, text in zip(self.columns, texts, strict=True)
            ]
            found.append({"trivial": texts[0] in TRIVIAL, "cells": cells})
        return found


def best_and_below(table: pd.DataFrame) -> dict[tuple[int, str], str]:
    """By row number and column: "best" of several rows that compare; "below": worse than no color."""
    marks: dict[tuple[int, str], str] = {}
    for column, better in BETTER.items():
        if column not in table:
            continue
        names = table.iloc[:, 0]
        by = ["data", *(key for key in ("mode", "labels") if key in table)]
        by += ["loss"] if column == "test loss" and "loss" in table else []
        for _, group in table.reset_index(drop=True).groupby(by, sort=False, dropna=False):
            values = group[column].dropna()
            compared = {
                number: value
                for number, value in values.items()
                if names.iloc[number] not in TRIVIAL
            }
            baseline = [value for number, value in values.items() if names.iloc[number] == NO_COLOR]
            for number, value in compared.items():
                if len(compared) > 1 and value == better(compared.values()):
                    marks[number, column] = "best"
                if baseline and better(value, *baseline) != value:
                    marks[number, column] = "below"
    return marks


def write(
    results: Mapping[str, Result],
    tables: tuple[Table, Table, Table],
    curves: Mapping[str, pd.DataFrame],
    pretext_curves: Mapping[PretextRun, pd.DataFrame],
) -> None:
    """Write report/index.html.

    Args:
        results: of the colorizers, by name.
        tables: of the results, of their colors, and of the pretext task.
        curves: the colorizers' histories, by name.
        pretext_curves: those of the pretext task's runs that trained.
    """
    kinds = {name: str(result.run["loss"]) for name, result in results.items()}
    losses = {loss_title(kind): ("loss", kind) for kind in dict.fromkeys(kinds.values())}
    metrics: dict[str, tuple[str, str | None]] = losses | METRICS
    params = Path("params.yaml").read_text(encoding="utf-8")
    classifiers = {Path(run.name).name: history for run, history in pretext_curves.items()}
    data = {
        "training": {"curves": _columns(curves), "kinds": kinds, "metrics": metrics},
        "pretext": {"curves": _columns(classifiers), "metrics": PRETEXT_METRICS}
        if classifiers
        else None,
        "temperature": str(config.parse_yaml(params)["evaluation"]["temperature"]),
        "galleries": {name: files.read_json(files.gallery_path(name)) for name in results},
    }
    sets = list(dict.fromkeys(result.run["data"] for result in results.values()))
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = templates.get_template("page.html").render(
        sets=sets,
        finished=time.strftime("%Y-%m-%d %H:%M"),
        commit=machine.commit(),
        results=tables[0],
        conclusions=conclusions(tables[0].numbers),
        figures={name: _embedded(files.REPORT / f"{name}.png") for name in FIGURES},
        colorizers=list(results),
        seed=next(iter(results.values())).run["seed"],
        metrics=list(metrics),
        colors=tables[1],
        pretext=tables[2],
        pretext_metrics=list(PRETEXT_METRICS) if classifiers else [],
        facts=_data_sets(sets, params),
        trainings=_trainings([*results, *(run.name for run in pretext_curves)]),
        params=params,
        style=_assets("uPlot.min.css", "page.css"),
        script=_assets("uPlot.iife.min.js", "page.js"),
        data=Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c")),
    )
    files.write_text(files.REPORT / "index.html", text.strip() + "\n")


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _columns(curves: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, list[float | None]]]:
    """The columns of each name's history; null where a value is not finite."""
    return {
        name: {
            column: [value if math.isfinite(value) else None for value in frame[column].tolist()]
            for column in frame
        }
        for name, frame in curves.items()
    }


def _data_sets(names: list[str], params: str) -> dict[str, str]:
    sets = config.parse_yaml(params)["datasets"]
    return {
        f"Data set {name}": f"{sets[name]['source']}, md5 {sets[name]['md5'] or 'not checked'}"
        for name in names
    }


def _trainings(names: list[str]) -> Table:
    """How long each training took, where, when and with what; empty for one that was not run here."""
    rows = []
    for name in names:
        record = files.run_record_path(files.curves_path(name))
        found = json.loads(record.read_text()) if record.is_file() else {}
        rows.append(
            {
                "training": name,
                "minutes": found["seconds"] / 60 if found else float("nan"),
                "finished": found.get("finished", "not run here"),
                "hardware": found.get("hardware", ""),
                "versions": ", ".join(
                    f"{key} {found[key]}"
                    for key in ("Python", "torch", "numpy", "dvc")
                    if key in found
                ),
                "commit": found.get("commit", ""),
            }
        )
    table = pd.DataFrame(rows)
    text = table.assign(
        minutes=["" if pd.isna(value) else f"{value:.2f}" for value in table["minutes"]]
    )
    return Table(table, text, "Trainings. A result from DVC's cache or a remote was not run here.")


def _assets(*names: str) -> Markup:
    return Markup("\n".join((ASSETS / name).read_text(encoding="utf-8") for name in names))
