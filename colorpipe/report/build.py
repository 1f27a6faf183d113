"""The report stage: tables, figures and the page from the results of the other stages."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from colorpipe import config, files
from colorpipe.evaluation import grids
from colorpipe.report import color_figures, page
from colorpipe.report.figures import training_curve_figures
from colorpipe.report.highlights import highlights
from colorpipe.report.pretext_results import (
    load_pretext_results,
    pretext_figures,
    pretext_table,
    select_page_columns,
    tabulate_accuracies,
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
from colorpipe.report.training_runs import run_facts, training_runs_table


def write_report() -> None:
    """Write report/ from metrics/, evaluations/, curves/, grids/ and galleries/.

    The colorizers are those of dvc.yaml. Other files in these folders are ignored.

    Raises:
        UserError: A file is missing or damaged.
    """
    names = files.read_json(files.NAMES)
    results = load_results(names["colorizers"])
    histories = {name: load_history(name) for name in results}
    scores = results_table(results, load_results(names["baselines"], "baseline"))
    paths = {
        name: result.vividness_path for name, result in results.items() if result.vividness_path
    }
    draw_plots(results, scores, paths)
    runs, note = load_pretext_results(config.load_params().pretext)
    classifiers = {run: load_history(run.name) for run in runs}
    pretext = pretext_table(runs, classifiers)
    trained = {run.name: history for run, history in classifiers.items() if len(history)}
    write_curves(results, histories, trained)
    write_tables(scores, pretext, note, results)
    training_runs = [*results, *trained]
    content = page.Content(
        scores=scores,
        grids={name: files.grid_path(name) for name in results},
        galleries={name: files.read_json(files.gallery_path(name)) for name in results},
        colorfulness=color_figures.colorfulness_figures(scores, paths),
        has_paths=bool(paths),
        curves=training_curve_figures(
            histories, {name: r.evaluation["loss"] for name, r in results.items()}
        ),
        pretext=select_page_columns(pretext),
        pretext_note=note,
        pretext_figures=pretext_figures(tabulate_accuracies(runs), classifiers) if runs else {},
        training_runs=training_runs_table(training_runs),
        facts=run_facts(training_runs, scores["data"].unique(), scores["seed"].dropna().unique()),
        settings=Path("params.yaml").read_text(encoding="utf-8"),
    )
    page.write(files.REPORT / "index.html", content)
    print(to_markdown(scores.drop(columns=list(COLOR_SCORES))))
    print(f"report: {files.REPORT / 'index.html'}")


def draw_plots(
    results: Mapping[str, Result], scores: pd.DataFrame, paths: color_figures.Paths
) -> None:
    """Draw the plots of DVC: the grid of all colorizers, and error against colorfulness."""
    groups: dict[str, dict[str, Path]] = {}
    for name, result in results.items():
        groups.setdefault(result.evaluation["data"], {})[name] = files.grid_path(name)
    grids.combine(files.REPORT / "overview.png", list(groups.values()))
    color_figures.draw_error_against_colorfulness(files.REPORT / "colorfulness.png", scores, paths)


def write_curves(
    results: Mapping[str, Result],
    histories: Mapping[str, pd.DataFrame],
    classifiers: Mapping[str, pd.DataFrame],
) -> None:
    """Write the training histories of the colorizers and the classifiers to curves.csv."""
    losses = {name: result.setting[1] for name, result in results.items()}
    losses |= dict.fromkeys(classifiers, "cross-entropy")
    curves = stack_curves({**histories, **classifiers}, losses)
    files.write_text(files.REPORT / "curves.csv", curves.to_csv(index=False))


def write_tables(
    scores: pd.DataFrame, pretext: pd.DataFrame, note: str, results: Mapping[str, Result]
) -> None:
    """Write results.csv, pretext.csv and results.md.

    Args:
        scores: The results table.
        pretext: The table of the pretext task, which may be empty.
        note: The caption of the table of the pretext task.
        results: The results by colorizer.
    """
    files.write_text(files.REPORT / "results.csv", scores.to_csv(index=False))
    files.write_text(files.REPORT / "pretext.csv", pretext.to_csv(index=False))
    vgg = " or ".join(sorted({result.evaluation["lpips_vgg"] for result in results.values()}))
    sections = [f"{data}: {' '.join(lines)}" for data, lines in highlights(scores).items()]
    sections += [to_markdown(scores.drop(columns=list(COLOR_SCORES))), CAPTION]
    sections += [to_markdown(color_table(scores)), COLOR_CAPTION.format(vgg=vgg)]
    sections += [to_markdown(pretext)] if len(pretext) else []
    sections.append(note)
    files.write_text(files.REPORT / "results.md", "\n\n".join(sections) + "\n")
