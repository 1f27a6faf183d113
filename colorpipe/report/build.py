"""The report stage: tables, figures and the page from the results of the other stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from colorpipe import config, files
from colorpipe.evaluation import grids
from colorpipe.report import color_figures, page
from colorpipe.report.figures import training_curves
from colorpipe.report.highlights import highlights
from colorpipe.report.page_table import Table
from colorpipe.report.pretext_results import (
    PRETEXT_CAPTION,
    accuracies,
    draw_pretext,
    load_pretext_results,
    pretext_table,
)
from colorpipe.report.results import Result, load_history, load_results, stack_curves
from colorpipe.report.tables import (
    CAPTION,
    COLOR_CAPTION,
    COLOR_SCORES,
    color_table,
    results_table,
    to_markdown,
)


def build() -> None:
    """Write report/ from metrics/, evaluations/, curves/, grids/ and galleries/.

    The colorizers are those of dvc.yaml. Other files in these folders are ignored.

    Raises:
        UserError: A file is missing or damaged.
    """
    names = files.read_json(files.NAMES)
    results = load_results(names["colorizers"])
    histories = {name: load_history(name) for name in results}
    galleries = {name: files.read_json(files.gallery_path(name)) for name in results}
    scores = results_table(results, load_results(names["baselines"], "baseline"))
    draw_figures(results, histories, galleries, scores)
    pretext, trained = build_pretext()
    losses = {name: result.setting[1] for name, result in results.items()}
    losses |= dict.fromkeys(trained, "cross-entropy")
    curves = stack_curves({**histories, **trained}, losses)
    files.write_text(files.REPORT / "curves.csv", curves.to_csv(index=False))
    vgg = " or ".join(sorted({result.run["lpips_vgg"] for result in results.values()}))
    tables = {
        "results": Table(scores.drop(columns=list(COLOR_SCORES)), CAPTION),
        "colors": Table(color_table(scores), COLOR_CAPTION.format(vgg=vgg)),
        "pretext": pretext,
    }
    sentences = highlights(scores)
    write_tables(scores, tables, sentences)
    page.write(results, tables, galleries, sentences, [*results, *trained])
    print(to_markdown(tables["results"].numbers))
    print("\n".join(sentences))
    print(f"report: {files.REPORT / 'index.html'}")


def draw_figures(
    results: Mapping[str, Result],
    histories: Mapping[str, pd.DataFrame],
    galleries: Mapping[str, Any],
    scores: pd.DataFrame,
) -> None:
    """Draw the figures about the colorizers.

    Args:
        results: The results by colorizer.
        histories: The training histories by colorizer.
        galleries: The content of galleries/<name>.json by colorizer.
        scores: The results table.
    """
    grid_groups: dict[str, dict[str, Path]] = {}
    for name, result in results.items():
        grid_groups.setdefault(result.run["data"], {})[name] = files.grid_path(name)
    grids.compare(files.REPORT / "overview.png", list(grid_groups.values()))
    losses = {name: result.run["loss"] for name, result in results.items()}
    training_curves(files.REPORT / "curves.png", histories, losses)
    color_figures.error_against_colorfulness(files.REPORT / "colorfulness.png", scores)
    shares = {}
    for data, group in grid_groups.items():
        for name in group:
            shares[name] = galleries[name]["histograms"]["predicted"]
            originals = galleries[name]["histograms"]["original"]
        shares[f"original ({data})"] = originals
    color_figures.histograms(files.REPORT / "histograms.png", shares)


def build_pretext() -> tuple[Table, dict[str, pd.DataFrame]]:
    """Draw the figure of the pretext task. Return its table and its training histories by name.

    If the data set has no classes, the table is empty and its caption gives the reason.
    """
    results = load_pretext_results(config.load_params().pretext)
    caption = PRETEXT_CAPTION
    reason = next(iter(results.values())).run.get("left_out")
    if reason:  # All runs share a data set, so all of them are left out.
        results, caption = {}, f"The pretext task is left out: {reason}."
    histories = {run: load_history(run.name) for run in results}
    table = Table(pretext_table(results, histories), caption)
    draw_pretext(files.REPORT / "pretext.png", accuracies(results), histories)
    return table, {run.name: history for run, history in histories.items() if len(history)}


def write_tables(scores: pd.DataFrame, tables: Mapping[str, Table], sentences: list[str]) -> None:
    """Write results.csv, pretext.csv and results.md.

    Args:
        scores: The results table.
        tables: The tables of the page. The table "pretext" may be empty.
        sentences: What the tables show in short.
    """
    pretext = tables["pretext"].numbers
    files.write_text(files.REPORT / "results.csv", scores.to_csv(index=False))
    files.write_text(files.REPORT / "pretext.csv", pretext.to_csv(index=False))
    sections = list(sentences)
    for table in tables.values():
        sections += [to_markdown(table.numbers)] if len(table.numbers) else []
        sections.append(table.caption)
    files.write_text(files.REPORT / "results.md", "\n\n".join(sections) + "\n")
