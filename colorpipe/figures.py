"""The report's figures: training curves of all colorizers, and the pretext task's two starts."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from colorpipe import files

STYLE = {"train": {"linestyle": ":", "linewidth": 1.4}, "val": {"linestyle": "-", "linewidth": 1.8}}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: told apart by everyone


def training_curves(path: Path, curves: Mapping[str, pd.DataFrame], losses: Mapping[str, str]) -> None:
    """Loss, SSIM and PSNR of every colorizer by epoch; a panel for each kind of loss, as their units differ.

    Where the curves of a name are those of several seeds, one below the other, their mean and standard deviation.
    """
    kinds = sorted(set(losses.values()), key=["mse", "lpips"].index)
    figure, panels = plt.subplots(1, len(kinds) + 2, figsize=(4.2 * (len(kinds) + 2), 3.8), layout="constrained")
    for panel, kind in zip(panels, kinds, strict=False):
        chosen = {name: frame for name, frame in curves.items() if losses[name] == kind}
        _lines(panel, chosen, curves, "loss")
        panel.set_title({"mse": "MSE of ab (Lab units squared)", "lpips": "LPIPS"}[kind])
    for panel, measure, title in zip(panels[-2:], ("ssim", "psnr"), ("SSIM of ab", "PSNR of ab (dB)"), strict=True):
        _lines(panel, curves, curves, measure)
        panel.set_title(title)
    _finish(figure, panels, path, curves)


def pretext_curves(path: Path, curves: Mapping[str, pd.DataFrame]) -> None:
    """Accuracy and loss of the classifier from each start, by epoch; of several seeds as in `training_curves`."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for panel, measure, title in zip(panels, ("accuracy", "loss"), ("Accuracy", "Cross-entropy"), strict=True):
        _lines(panel, curves, curves, measure)
        panel.set_title(title)
    _finish(figure, panels, path, curves)


def _lines(panel: Axes, chosen: Mapping[str, pd.DataFrame], everything: Mapping[str, pd.DataFrame], measure: str) -> None:
    names = list(everything)
    for name, frame in chosen.items():
        for part, style in STYLE.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            seeds = frame.groupby("epoch")[f"{part}_{measure}"]
            mean, spread = seeds.mean(), seeds.std()
            panel.plot(mean.index, mean, color=colour, marker=".", **style)
            if spread.notna().any():
                panel.fill_between(mean.index, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)


def _finish(figure: plt.Figure, panels: list[Axes], path: Path, curves: Mapping[str, pd.DataFrame]) -> None:
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    lines = [plt.Line2D([], [], color=COLOURS[number % len(COLOURS)], label=name) for number, name in enumerate(curves)]
    lines += [
        plt.Line2D([], [], color="gray", label=name, **STYLE[part])
        for part, name in (("train", "train"), ("val", "validation"))
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    with files.replaced(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
