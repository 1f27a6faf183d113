"""The report stage: tables, figures and the page, from what the other stages wrote."""

from collections.abc import Mapping
from pathlib import Path

from colorpipe import config, files
from colorpipe.evaluation import grids
from colorpipe.report import color_figures, figures, page, pretext_report
from colorpipe.report.conclusions import conclusions
from colorpipe.report.tables import (
    CAPTION,
    COLOR_CAPTION,
    COLOR_SCORES,
    Result,
    color_table,
    formatted,
    load_history,
    load_results,
    results_table,
    to_markdown,
)


def build() -> None:
    """Write report/ from metrics/, evaluations/, curves/, grids/ and galleries/. Raises UserError where one is damaged."""
    results, baselines, classifiers = (
        load_results(),
        load_results("baseline"),
        pretext_report.load(config.load_params().pretext),
    )
    left_out = {
        str(result.run["left_out"]) for result in classifiers.values() if "left_out" in result.run
    }
    classifiers = {
        run: result for run, result in classifiers.items() if "left_out" not in result.run
    }
    histories = {name: load_history(name) for name in results}
    pretext_histories = {run: load_history(run.name) for run in classifiers}
    every, pretext_rows = (
        results_table(results, baselines),
        pretext_report.table(classifiers, pretext_histories),
    )
    table, colors = (
        every.drop(columns=[column for column in COLOR_SCORES if column in every]),
        color_table(every),
    )
    vgg = " or ".join(sorted({str(result.run.get("lpips_vgg")) for result in results.values()}))
    color_caption = COLOR_CAPTION.format(vgg=vgg)
    pretext_caption = (
        f"Left out: {', '.join(sorted(left_out))}." if left_out else pretext_report.CAPTION
    )

    pictures: dict[str, dict[str, Path]] = {}
    for name, result in results.items():
        pictures.setdefault(result.run["data"], {})[name] = files.grid_path(name)
    grids.compare(files.REPORT / "overview.png", list(pictures.values()))
    losses = {name: str(result.run["loss"]) for name, result in results.items()}
    figures.training_curves(files.REPORT / "curves.png", histories, losses)
    trained = {run: history for run, history in pretext_histories.items() if len(history)}
    pretext_report.figure(files.REPORT / "pretext.png", pretext_report.points(classifiers), trained)
    color_figures.error_against_colorfulness(files.REPORT / "colorfulness.png", every)
    color_figures.histograms(files.REPORT / "histograms.png", ab_shares(results))

    files.write_text(files.REPORT / "results.csv", every.to_csv(index=False))
    files.write_text(files.REPORT / "pretext.csv", pretext_rows.to_csv(index=False))
    sections = [
        to_markdown(table),
        CAPTION,
        to_markdown(colors),
        color_caption,
        *([to_markdown(pretext_rows)] if classifiers else []),
        pretext_caption,
    ]
    files.write_text(files.REPORT / "results.md", "\n\n".join(sections) + "\n")
    results_section = page.Table(table, formatted(table), CAPTION)
    pretext_section = page.Table(pretext_rows, formatted(pretext_rows), pretext_caption)
    colors_section = page.Table(colors, formatted(colors), color_caption)
    page.write(results, (results_section, colors_section, pretext_section), histories, trained)
    print(to_markdown(table))
    print("\n".join(conclusions(table)))
    print(f"report: {files.REPORT / 'index.html'}")


def ab_shares(results: Mapping[str, Result]) -> dict[str, list[float]]:
    """The shares of the ab bins (313,) of each colorizer and, after those of a data set, of its originals."""
    shares: dict[str, list[float]] = {}
    for data in dict.fromkeys(result.run["data"] for result in results.values()):
        for name in (name for name, result in results.items() if result.run["data"] == data):
            histograms = files.read_json(files.gallery_path(name))["histograms"]
            shares[name] = histograms["predicted"]
        shares[f"original ({data})"] = histograms["original"]
    return shares
