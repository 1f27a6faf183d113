"""Figures of the colors: error against colorfulness, and which colors are predicted how often."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from colorpipe import io
from colorpipe.color import bins
from colorpipe.report.figures import COLORS
from colorpipe.report.tables import NO_COLOR, ORIGINAL, TRIVIAL

COLUMNS = 5  # histograms a row
RAREST = 1e-5  # share of a bin, below which it stays white


def error_against_colorfulness(path: Path, table: pd.DataFrame) -> None:
    """A panel for each data set: a point a colorizer, no color, and the originals' colorfulness as a line."""
    sets = list(dict.fromkeys(table["data"]))
    figure = Figure(figsize=(6.4 * len(sets), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, data in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        rows = table[table["data"] == data]
        colorizers = rows[~rows["colorizer"].isin(TRIVIAL)]
        for number, (_, row) in enumerate(colorizers.iterrows()):
            color = COLORS[number % len(COLORS)]
            panel.plot(row["colorfulness"], row["ab MSE"], marker="o", linestyle="", color=color)
            panel.annotate(row["colorizer"], (row["colorfulness"], row["ab MSE"]), (6, 4), textcoords="offset points")
        gray = rows[rows["colorizer"] == NO_COLOR]
        if len(gray):
            panel.plot(gray["colorfulness"].iloc[0], gray["ab MSE"].iloc[0], marker="s", linestyle="", color="gray")
            panel.annotate(NO_COLOR, (0, gray["ab MSE"].iloc[0]), (6, 4), textcoords="offset points")
        for value in rows.loc[rows["colorizer"] == ORIGINAL, "colorfulness"]:
            panel.axvline(value, color="gray", linestyle=":")
            panel.annotate("originals", (value, 0), (4, 4), textcoords="offset points", color="gray")
        panel.set(title=data, xlabel="colorfulness (Hasler and Suesstrunk)", ylabel="ab MSE (Lab units squared)")
        panel.set_ylim(bottom=0)
        panel.margins(x=0.18)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def histograms(path: Path, shares: Mapping[str, Sequence[float]]) -> None:
    """The share of each of the 313 ab bins (313,), a panel a name, on one logarithmic scale."""
    rows = -(-len(shares) // COLUMNS)
    figure = Figure(figsize=(2.5 * COLUMNS, 2.7 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    a, b = bins.centers().T.numpy()
    for panel, (name, counts) in zip(panels, shares.items(), strict=False):
        seen = np.maximum(counts, RAREST / 10)
        drawn = panel.scatter(a, b, c=seen, norm=LogNorm(RAREST, 1), cmap="viridis_r", s=14, marker="s")
        panel.set(title=name, aspect="equal", xticks=[-100, 0, 100], yticks=[-100, 0, 100])
    for panel in panels[len(shares) :]:
        panel.set_visible(False)
    figure.supxlabel("a (green to red, Lab units)")
    figure.supylabel("b (blue to yellow, Lab units)")
    figure.colorbar(drawn, ax=panels.tolist(), label="share of the pixels", shrink=0.8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with io.atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
