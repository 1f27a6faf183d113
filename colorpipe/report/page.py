"""The page: tables, figures, test images and what was run, in one HTML file that works offline."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from colorpipe import config, files
from colorpipe.report.page_table import Table
from colorpipe.report.results import Result
from colorpipe.runtime import machine

ASSETS = Path(__file__).parent / "assets"
FIGURES = ("overview", "colorfulness", "histograms", "curves", "pretext")
VERSIONS = ("Python", "torch", "numpy", "dvc")


def write(
    results: Mapping[str, Result],
    tables: Mapping[str, Table],
    galleries: Mapping[str, Any],
    sentences: Sequence[str],
    trainings: Sequence[str],
) -> None:
    """Write report/index.html. The figures must exist.

    Args:
        results: The results by colorizer.
        tables: The tables "results", "colors" and "pretext".
        galleries: The content of galleries/<name>.json by colorizer.
        sentences: What the results show in short.
        trainings: The names of the trainings, as `files.curves_path` takes them.
    """
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
        commit=machine.find_commit(),
        sentences=sentences,
        tables={**tables, "trainings": _trainings_table(trainings)},
        figures={name: _data_url(files.REPORT / f"{name}.png") for name in FIGURES},
        colorizers=list(results),
        seed=next(iter(results.values())).run["seed"],
        sources=_sources(sets),
        params=Path("params.yaml").read_text(encoding="utf-8"),
        style=_asset("page.css"),
        script=_asset("page.js"),
        galleries=Markup(json.dumps(galleries, allow_nan=False).replace("<", "\\u003c")),
    )
    files.write_text(files.REPORT / "index.html", text.strip() + "\n")


def _data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _asset(name: str) -> Markup:
    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def _sources(sets: Sequence[str]) -> dict[str, str]:
    """Return where each data set comes from."""
    params = config.load_params()
    sources = {}
    for name in sets:
        settings = params.data(name)
        sources[name] = f"{settings.source}, md5 {settings.md5 or 'not checked'}"
    return sources


def _trainings_table(names: Sequence[str]) -> Table:
    """Return when, where and how long each training ran, if it ran on this machine."""
    rows = []
    for name in names:
        path = files.run_record_path(files.curves_path(name).read_bytes())
        record = json.loads(path.read_text()) if path.is_file() else {}
        versions = [f"{package} {record[package]}" for package in VERSIONS if package in record]
        rows.append(
            {
                "training": name,
                "minutes": record["seconds"] / 60 if record else float("nan"),
                "finished": record.get("finished", "not run here"),
                "hardware": record.get("hardware", ""),
                "versions": ", ".join(versions),
                "commit": record.get("commit", ""),
            }
        )
    caption = "A training whose result came from DVC's cache or from a remote was not run here."
    return Table(pd.DataFrame(rows), caption)
