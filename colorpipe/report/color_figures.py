"""Figures of the colors: error against colorfulness, and histograms of the color bins."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from colorpipe.color import bins
from colorpipe.report.figures import line_color, panel_grid, save, tidy
from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL, REFERENCE_ROWS

HISTOGRAM_COLUMNS = 5
MARKERS = "oDv^P<>Xp"
RAREST = 1e-5  # bins with a smaller share of the pixels are light gray


def error_against_colorfulness(path: Path, table: pd.DataFrame) -> None:
    """Draw ab MSE against colorfulness, one panel per data set.

    Colorizers and the gray baseline are points. The originals' colorfulness is a dotted line.

    Args:
        path: The PNG to write.
        table: Rows with the columns colorizer, data, "ab MSE" and colorfulness.
    """
    sets = list(dict.fromkeys(table["data"]))
    figure, panels = panel_grid(len(sets), columns=len(sets), width=6.4, height=4.1)
    for panel, data in zip(panels, sets, strict=True):
        rows = table[table["data"] == data]
        colorizers = rows[~rows["colorizer"].isin(REFERENCE_ROWS)]
        for number, (_, row) in enumerate(colorizers.iterrows()):
            _draw_point(panel, row, MARKERS[number % len(MARKERS)], line_color(number))
        for _, row in rows[rows["colorizer"] == GRAY_BASELINE].head(1).iterrows():
            _draw_point(panel, row, "s", "gray")
        for colorfulness in rows.loc[rows["colorizer"] == ORIGINAL, "colorfulness"]:
            panel.axvline(colorfulness, color="gray", linestyle=":", label="originals")
        panel.set(
            title=data,
            xlabel="colorfulness (Hasler and Suesstrunk)",
            ylabel="ab MSE (Lab units squared)",
        )
        panel.set_ylim(bottom=0)
        panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        tidy(panel)
    save(figure, path)


def _draw_point(panel: Axes, row: "pd.Series[float]", marker: str, color: str) -> None:
    panel.plot(
        row["colorfulness"],
        row["ab MSE"],
        label=row["colorizer"],
        marker=marker,
        markersize=8,
        linestyle="",
        color=color,
    )


def histograms(path: Path, shares: Mapping[str, Sequence[float]]) -> None:
    """Draw which colors occur how often, one panel per name, on one logarithmic scale.

    Args:
        path: The PNG to write.
        shares: The share of the pixels in each of the 313 color bins, by the panel's title.
    """
    figure, panels = panel_grid(len(shares), HISTOGRAM_COLUMNS, width=2.5, height=2.35)
    a, b = bins.centers().T.numpy()
    colors = colormaps["viridis_r"].with_extremes(under="#ececec")
    for panel, (title, values) in zip(panels, shares.items(), strict=True):
        positive = np.maximum(values, RAREST / 10)  # a logarithmic scale has no zero
        squares = panel.scatter(
            a, b, c=positive, norm=LogNorm(RAREST, 1), cmap=colors, s=14, marker="s"
        )
        panel.set(title=title, aspect="equal", xticks=[-100, 0, 100], yticks=[-100, 0, 100])
    figure.supxlabel("a (green to red, Lab units)")
    figure.supylabel("b (blue to yellow, Lab units)")
    figure.colorbar(squares, ax=panels, label="share of the pixels", shrink=0.8)
    save(figure, path)
