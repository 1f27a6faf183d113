"""Figures of training curves, and what the report's figures share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from colorpipe import files

STYLES: dict[str, dict[str, Any]] = {
    "train": {"linestyle": ":", "linewidth": 1.4},
    "val": {"linestyle": "-", "linewidth": 1.8},
}
COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#7f7f7f",
    "#8c564b",
)  # Okabe and Ito, distinguishable with any color vision; and a gray and a brown
MANY_EPOCHS = 40  # without a mark for each
LOSS_TITLES = {"mse": "Loss: MSE of ab", "lpips": "Loss: LPIPS"}


def loss_title(kind: str) -> str:
    """A loss in words."""
    return LOSS_TITLES.get(kind, f"Loss: {kind}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes on every run."""
    with files.atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def training_curves(
    path: Path, curves: Mapping[str, pd.DataFrame], losses: Mapping[str, str]
) -> None:
    """Loss, SSIM and PSNR of every colorizer by epoch; a panel for each kind of loss, as their units differ.

    Where a name has the histories of several seeds, one below the other, the mean and standard deviation over seeds.
    """
    kinds = list(dict.fromkeys(losses.values()))
    figure, panels = _panels(len(kinds) + 2, width=4.2)
    for panel, kind in zip(panels, kinds, strict=False):
        chosen = {name: frame for name, frame in curves.items() if losses[name] == kind}
        draw_lines(panel, chosen, list(curves), "loss")
        panel.set_title(loss_title(kind))
    for panel, measure, title in zip(
        panels[-2:], ("ssim", "psnr"), ("SSIM of ab", "PSNR of ab (dB)"), strict=True
    ):
        draw_lines(panel, curves, list(curves), measure)
        panel.set_title(title)
    _finish(figure, panels, path, curves)


def _panels(count: int, width: float) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width * count, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, count))


def draw_lines(
    panel: Axes, curves: Mapping[str, pd.DataFrame], names: Sequence[str], measure: str
) -> None:
    """A metric of some of `names` by epoch, in training and validation; of several seeds the mean and deviation."""
    for name, frame in curves.items():
        for part, style in STYLES.items():
            shade = color(names.index(name))
            seeds = frame.groupby("epoch")[f"{part}_{measure}"]
            mean, spread = seeds.mean(), seeds.std()
            panel.plot(
                mean.index,
                mean,
                color=shade,
                marker="." if len(mean) < MANY_EPOCHS else "",
                **style,
            )
            if spread.notna().any():
                panel.fill_between(
                    mean.index, mean - spread, mean + spread, color=shade, alpha=0.2, linewidth=0
                )


def color(number: int) -> str:
    """The color of the line of that number; after the last the first again."""
    return COLORS[number % len(COLORS)]


def legend(names: Sequence[str]) -> list[Line2D]:
    """A line for each name in its color, and one for training and for validation."""
    lines = [Line2D([], [], color=color(number), label=name) for number, name in enumerate(names)]
    words = {"train": "train", "val": "validation"}
    return [
        *lines,
        *(
            Line2D([], [], color="gray", label=words[part], **style)
            for part, style in STYLES.items()
        ),
    ]


def _finish(
    figure: Figure, panels: Sequence[Axes], path: Path, curves: Mapping[str, pd.DataFrame]
) -> None:
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    lines = legend(list(curves))
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    save(figure, path)
