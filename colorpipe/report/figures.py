"""The figures of the training curves, and what all figures of the report share."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from colorpipe import files
from colorpipe.report.results import CURVE_TITLES

INK = "#010203"  # the color of text and lines, which follows the page's theme in an SVG
for part in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
    rcParams[part] = INK
STYLES: dict[str, dict[str, Any]] = {
    "train": {"linestyle": ":", "linewidth": 1.4},
    "val": {"linestyle": "-", "linewidth": 1.8},
}
# Okabe and Ito's color-blind-safe palette without its yellow. The last four colors are gray, brown,
# and Tol's wine and olive.
COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    INK,
    "#7f7f7f",
    "#8c564b",
    "#882255",
    "#999933",
)
THEME = """<style>
svg { color: #1c1e21 }
@media (prefers-color-scheme: dark) { svg { color: #e8eaed } }
</style>"""
MANY_EPOCHS = 40  # from this number on, epochs have no markers
CURVE_COLUMNS = 3
LEGEND_COLUMNS = 6
LOSS_TITLES = {"mse": "Loss: MSE of ab", "lpips": "Loss: LPIPS"}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. The same figure gives the same bytes on every run."""
    with files.atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def to_svg(figure: Figure) -> str:
    """Return a figure as the data URL of an SVG whose text follows the light or dark theme."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "colorpipe"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    head, tag, body = buffer.getvalue().partition("<defs>")
    text = (head + THEME + tag + body).replace(INK, "currentColor")
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def panel_grid(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a new figure and its panels, which fill the rows of a grid.

    Args:
        count: The number of panels.
        columns: The number of panels in a full row.
        width: The width of a panel in inches.
        height: The height of a panel in inches.
    """
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def tidy(panel: Axes) -> None:
    """Draw a light grid and remove the upper and the right border of a panel."""
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def draw_training_curves(
    path: Path, curves: Mapping[str, pd.DataFrame], losses: Mapping[str, str]
) -> None:
    """Draw loss, SSIM and PSNR of all colorizers by epoch.

    Each kind of loss has its own panel, because losses have different units.

    Args:
        path: The PNG to write.
        curves: The training history of each colorizer. The histories of several seeds, one below
            the other, are drawn as their mean and standard deviation.
        losses: The loss that each colorizer is trained with.
    """
    names, kinds = list(curves), list(dict.fromkeys(losses.values()))
    figure, panels = panel_grid(len(kinds) + 2, CURVE_COLUMNS, width=4.2, height=3.5)
    for panel, kind in zip(panels, kinds, strict=False):
        chosen = {name: frame for name, frame in curves.items() if losses[name] == kind}
        draw_lines(panel, chosen, names, "loss")
        panel.set_title(LOSS_TITLES.get(kind, f"Loss: {kind}"))
    for panel, metric in zip(panels[-2:], ("ssim", "psnr"), strict=True):
        draw_lines(panel, curves, names, metric)
        panel.set_title(CURVE_TITLES[metric])
    for panel in panels:
        tidy(panel)
    add_legend(figure, names)
    save(figure, path)


def training_curve_figures(
    curves: Mapping[str, pd.DataFrame], losses: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return a small figure of training and validation per metric and colorizer, as SVG data URLs.

    The SSIM and the PSNR have the same scale in all figures. Each loss has its own scale.

    Args:
        curves: The training histories, as `draw_training_curves` takes them.
        losses: The loss that each colorizer is trained with.
    """
    titles = {"loss": "Loss", "ssim": CURVE_TITLES["ssim"], "psnr": CURVE_TITLES["psnr"]}
    figures: dict[str, dict[str, str]] = {title: {} for title in titles.values()}
    for metric, title in titles.items():
        columns = [f"{part}_{metric}" for part in STYLES]
        values = pd.concat([frame[columns].stack() for frame in curves.values()])
        margin = 0.05 * (values.max() - values.min()) or 0.1
        for name, frame in curves.items():
            figure, (panel,) = panel_grid(1, 1, width=2.4, height=1.3)
            draw_lines(panel, {name: frame}, [name], metric)
            panel.set_title(name, fontsize=9.5)
            if metric == "loss":
                panel.set_title(f"{name}\n{losses[name].replace('_', ' ')}", fontsize=9.5)
            else:
                panel.set_ylim(values.min() - margin, values.max() + margin)
            tidy(panel)
            figures[title][name] = to_svg(figure)
    return figures


def draw_lines(
    panel: Axes, curves: Mapping[str, pd.DataFrame], names: Sequence[str], metric: str
) -> None:
    """Draw a metric by epoch, in training and in validation.

    Args:
        panel: The axes to draw into.
        curves: The histories to draw by name. Those of several seeds, one below the other, are
            drawn as their mean and standard deviation.
        names: All names of the figure in the order of the legend, which decides the colors.
        metric: The metric, such as "loss".
    """
    for name, frame in curves.items():
        color = line_color(names.index(name))
        for part, style in STYLES.items():
            seeds = frame.groupby("epoch")[f"{part}_{metric}"]
            mean, deviation = seeds.mean(), seeds.std()
            marker = "." if len(mean) < MANY_EPOCHS else ""
            panel.plot(mean.index, mean, color=color, marker=marker, **style)
            if deviation.notna().any():
                low, high = mean - deviation, mean + deviation
                panel.fill_between(mean.index, low, high, color=color, alpha=0.2, linewidth=0)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def line_color(number: int) -> str:
    """Return the color of the line with this number. The colors repeat."""
    return COLORS[number % len(COLORS)]


def add_legend(figure: Figure, names: Sequence[str], columns: int = LEGEND_COLUMNS) -> None:
    """Add a legend with the color of each name and the line styles of training and validation."""
    titles = {"train": "training", "val": "validation"}
    lines = [
        *(Line2D([], [], color=line_color(index), label=name) for index, name in enumerate(names)),
        *(Line2D([], [], color="gray", label=titles[part], **STYLES[part]) for part in STYLES),
    ]
    columns = min(len(lines), columns)
    figure.legend(handles=lines, loc="outside lower center", ncols=columns, frameon=False)
