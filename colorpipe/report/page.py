"""The page: results, test images, figures and what was run, in one HTML file that works offline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from colorpipe import files
from colorpipe.report.examples import gallery_images, load_examples
from colorpipe.report.highlights import highlights
from colorpipe.report.page_table import score_tables
from colorpipe.report.tables import format_table

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Content:
    """The content of the page, for one run or for a study over seeds.

    Attributes:
        scores: One row per colorizer, and rows for the gray baseline and the originals of each data
            set, as in `tables.results_table`. The first data set is the main one.
        half_widths: Half the widths of the 95 % intervals of the scores, with the index of `scores`
            and any of its columns. None for a single seed.
        grids: The grid of test images of each colorizer, as `grids.write` writes it.
        galleries: The content of galleries/<name>.json by colorizer. It may be empty.
        colorfulness: Figures of error against colorfulness, by data set. All figures are data URLs
            of SVG, as `figures.to_svg` returns them.
        has_paths: Whether these figures show paths from faithful to vivid.
        curves: Figures of the training curves by metric and then by colorizer.
        pretext: The table of the pretext task. It may be empty.
        pretext_note: The caption of the table, or the reason why it is empty.
        pretext_figures: Figures of the pretext task by title.
        training_runs: A table with a row per training run.
        facts: What else was run, by name.
        settings: The text of params.yaml, or the settings of a study by colorizer.
    """

    scores: pd.DataFrame
    grids: Mapping[str, Path]
    colorfulness: Mapping[str, str]
    curves: Mapping[str, Mapping[str, str]]
    pretext: pd.DataFrame
    pretext_note: str
    pretext_figures: Mapping[str, str]
    training_runs: pd.DataFrame
    facts: Mapping[str, str]
    settings: str
    half_widths: pd.DataFrame | None = None
    has_paths: bool = False
    galleries: Mapping[str, Any] = field(default_factory=dict)


def write(path: Path, content: Content) -> None:
    """Write the page."""
    scores = content.scores
    tables = score_tables(scores, content.half_widths)
    main = tables[0]
    data_of = {
        row.name: table.data for table in tables for row in table.rows if not row.is_reference
    }
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = templates.get_template("page.html").render(
        content=content,
        zip=zip,
        colorizers=list(data_of),
        chosen=main.rows[0].name,
        sentences=[_emphasize(sentence) for sentence in highlights(scores)[main.data]],
        tables=tables,
        examples=load_examples({name: content.grids[name] for name in data_of}, data_of),
        extremes={name: gallery_images(gallery) for name, gallery in content.galleries.items()},
        pretext=format_table(content.pretext),
        training_runs=format_table(content.training_runs),
        style=_asset("page.css"),
        script=_asset("page.js"),
    )
    files.write_text(path, text.strip() + "\n")


def _emphasize(sentence: str) -> Markup:
    """Return Markdown with bold words as HTML."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(sentence))))


def _asset(name: str) -> Markup:
    return Markup((ASSETS / name).read_text(encoding="utf-8"))
