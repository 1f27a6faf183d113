"""The report stage: tables, figures and the page, from what the other stages wrote."""

from collections.abc import Mapping
from pathlib import Path

from colorpipe import io, paths
from colorpipe.evaluation import grids
from colorpipe.report import color_figures, figures, page
from colorpipe.report.conclusions import conclusions
from colorpipe.report.tables import (
    CAPTION,
    COLOR_CAPTION,
    COLOR_SCORES,
    PRETEXT_CAPTION,
    Result,
    color_table,
    formatted,
    load_history,
    load_results,
    pretext_table,
    results_table,
    to_markdown,
)


def build() -> None:
    """Write report/ from metrics/, evaluations/, curves/, grids/ and galleries/. Raises UserError where one is damaged."""
    results, baselines, pretext = load_results(), load_results("baseline"), load_results("pretext")
    left_out = {str(result.run["left_out"]) for result in pretext.values() if "left_out" in result.run}
    pretext = {name: result for name, result in pretext.items() if "left_out" not in result.run}
    histories = {name: load_history(name) for name in results}
    pretext_histories = {name: load_history(f"pretext/{name}") for name in pretext}
    every, pretext_rows = results_table(results, baselines), pretext_table(pretext, pretext_histories)
    table, colors = every.drop(columns=[column for column in COLOR_SCORES if column in every]), color_table(every)
    vgg = " or ".join(sorted({str(result.run.get("lpips_vgg")) for result in results.values()}))
    color_caption = COLOR_CAPTION.format(vgg=vgg)
    pretext_caption = f"Left out: {', '.join(sorted(left_out))}." if left_out else PRETEXT_CAPTION

    pictures: dict[str, dict[str, Path]] = {}
    for name, result in results.items():
        pictures.setdefault(result.run["data"], {})[name] = paths.grid(name)
    grids.compare(paths.REPORT / "overview.png", list(pictures.values()))
    losses = {name: str(result.run["loss"]) for name, result in results.items()}
    figures.training_curves(paths.REPORT / "curves.png", histories, losses)
    figures.pretext_curves(paths.REPORT / "pretext.png", pretext_histories)
    color_figures.error_against_colorfulness(paths.REPORT / "colorfulness.png", every)
    color_figures.histograms(paths.REPORT / "histograms.png", ab_shares(results))

    io.write_text(paths.REPORT / "results.csv", every.to_csv(index=False))
    io.write_text(paths.REPORT / "pretext.csv", pretext_rows.to_csv(index=False))
    sections = [
        to_markdown(table),
        CAPTION,
        to_markdown(colors),
        color_caption,
        *([to_markdown(pretext_rows)] if pretext else []),
        pretext_caption,
    ]
    io.write_text(paths.REPORT / "results.md", "\n\n".join(sections) + "\n")
    results_section = page.Table(table, formatted(table), CAPTION)
    pretext_section = page.Table(pretext_rows, formatted(pretext_rows), pretext_caption)
    colors_section = page.Table(colors, formatted(colors), color_caption)
    page.write(results, (results_section, colors_section, pretext_section), histories, pretext_histories)
    print(to_markdown(table))
    print("\n".join(conclusions(table)))
    print(f"report: {paths.REPORT / 'index.html'}")


def ab_shares(results: Mapping[str, Result]) -> dict[str, list[float]]:
    """The shares of the ab bins (313,) of each colorizer and, after those of a data set, of its originals."""
    shares: dict[str, list[float]] = {}
    for data in dict.fromkeys(result.run["data"] for result in results.values()):
        for name in (name for name, result in results.items() if result.run["data"] == data):
            histograms = io.read_json(paths.gallery(name))["histograms"]
            shares[name] = histograms["predicted"]
        shares[f"original ({data})"] = histograms["original"]
    return shares
