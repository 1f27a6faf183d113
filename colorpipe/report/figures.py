"""The report's figures: training curves of all colorizers, and of the pretext task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from colorpipe import io

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
LOSS_TITLES = {"mse": "Loss: MSE of ab", "lpips": "Loss: LPIPS"}


def loss_title(kind: str) -> str:
    """A loss in words."""
    return LOSS_TITLES.get(kind, f"Loss: {kind}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes on every run."""
    with io.atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def training_curves(path: Path, curves: Mapping[str, pd.DataFrame], losses: Mapping[str, str]) -> None:
    """Loss, SSIM and PSNR of every colorizer by epoch; a panel for each kind of loss, as their units differ.

    Where a name has the histories of several seeds, one below the other, the mean and standard deviation over seeds.
    """
    kinds = list(dict.fromkeys(losses.values()))
    figure, panels = _panels(len(kinds) + 2, width=4.2)
    for panel, kind in zip(panels, kinds, strict=False):
        chosen = {name: frame for name, frame in curves.items() if losses[name] == kind}
        _lines(panel, chosen, curves, "loss")
        panel.set_title(loss_title(kind))
    for panel, measure, title in zip(panels[-2:], ("ssim", "psnr"), ("SSIM of ab", "PSNR of ab (dB)"), strict=True):
        _lines(panel, curves, curves, measure)
        panel.set_title(title)
    _finish(figure, panels, path, curves)


def pretext_curves(path: Path, curves: Mapping[str, pd.DataFrame]) -> None:
    """Accuracy and loss of the classifier by epoch; several seeds as in `training_curves`."""
    figure, panels = _panels(2, width=4.5)
    for panel, measure, title in zip(panels, ("accuracy", "loss"), ("Accuracy", "Cross-entropy"), strict=True):
        _lines(panel, curves, curves, measure)
        panel.set_title(title)
    _finish(figure, panels, path, curves)


def _panels(count: int, width: float) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width * count, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, count))


def _lines(panel: Axes, chosen: Mapping[str, pd.DataFrame], everything: Mapping[str, pd.DataFrame], measure: str) -> None:
    names = list(everything)
    for name, frame in chosen.items():
        for part, style in STYLES.items():
            color = COLORS[names.index(name) % len(COLORS)]
            seeds = frame.groupby("epoch")[f"{part}_{measure}"]
            mean, spread = seeds.mean(), seeds.std()
            panel.plot(mean.index, mean, color=color, marker=".", **style)
            if spread.notna().any():
                panel.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)


def _finish(figure: Figure, panels: Sequence[Axes], path: Path, curves: Mapping[str, pd.DataFrame]) -> None:
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    lines = [Line2D([], [], color=COLORS[number % len(COLORS)], label=name) for number, name in enumerate(curves)]
    lines += [
        Line2D([], [], color="gray", label=name, **STYLES[part])
        for part, name in (("train", "train"), ("val", "validation"))
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    save(figure, path)
