"""Figures of the colors: error against colorfulness, and which colors are predicted how often."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from colorpipe.color import bins
from colorpipe.report.figures import COLORS, save
from colorpipe.report.tables import NO_COLOR, ORIGINAL, TRIVIAL

COLUMNS = 5  # histograms a row
MARKERS = "oDv^P<>Xp"
RAREST = 1e-5  # share of a bin, below which it stays light gray


def error_against_colorfulness(path: Path, table: pd.DataFrame) -> None:
    """A panel for each data set: a point a colorizer, no color, and the originals' colorfulness as a line."""
    sets = list(dict.fromkeys(table["data"]))
    figure = Figure(figsize=(6.4 * len(sets), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, data in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        rows = table[table["data"] == data]
        colorizers = rows[~rows["colorizer"].isin(TRIVIAL)]
        for number, (_, row) in enumerate(colorizers.iterrows()):
            point = {
                "marker": MARKERS[number % len(MARKERS)],
                "color": COLORS[number % len(COLORS)],
                "linestyle": "",
            }
            panel.plot(
                row["colorfulness"], row["ab MSE"], label=row["colorizer"], markersize=8, **point
            )
        for _, row in rows[rows["colorizer"] == NO_COLOR].head(1).iterrows():
            panel.plot(
                row["colorfulness"],
                row["ab MSE"],
                label=NO_COLOR,
                marker="s",
                markersize=8,
                linestyle="",
                color="gray",
            )
        for value in rows.loc[rows["colorizer"] == ORIGINAL, "colorfulness"]:
            panel.axvline(value, color="gray", linestyle=":", label="originals")
        panel.set(
            title=data,
            xlabel="colorfulness (Hasler and Suesstrunk)",
            ylabel="ab MSE (Lab units squared)",
        )
        panel.set_ylim(bottom=0)
        panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def histograms(path: Path, shares: Mapping[str, Sequence[float]]) -> None:
    """The share of each of the 313 ab bins (313,), a panel a name, on one logarithmic scale."""
    rows = -(-len(shares) // COLUMNS)
    figure = Figure(figsize=(2.5 * COLUMNS, 2.35 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    a, b = bins.centers().T.numpy()
    colors = colormaps["viridis_r"].with_extremes(under="#ececec")
    for panel, (name, counts) in zip(panels, shares.items(), strict=False):
        seen = np.maximum(counts, RAREST / 10)
        drawn = panel.scatter(a, b, c=seen, norm=LogNorm(RAREST, 1), cmap=colors, s=14, marker="s")
        panel.set(title=name, aspect="equal", xticks=[-100, 0, 100], yticks=[-100, 0, 100])
    for panel in panels[len(shares) :]:
        panel.set_visible(False)
    figure.supxlabel("a (green to red, Lab units)")
    figure.supylabel("b (blue to yellow, Lab units)")
    figure.colorbar(drawn, ax=panels.tolist(), label="share of the pixels", shrink=0.8)
    save(figure, path)
