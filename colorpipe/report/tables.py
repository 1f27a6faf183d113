"""The report's tables: colorizers with the no-color baseline, as data and as Markdown."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from colorpipe import files
from colorpipe.runtime.errors import UserError, one_line

# Table 1 of the paper: CIFAR-10 test set, 50 epochs. Shown only beside results on CIFAR-10 with the same loss.
PAPER = {
    ("resnet", "mse"): {"paper's loss": 147.256, "paper's SSIM": 0.227, "paper's PSNR": 21.212},
    ("resnet_lpips", "lpips"): {
        "paper's loss": 0.095,
        "paper's SSIM": 0.207,
        "paper's PSNR": 21.088,
    },
    ("densenet", "mse"): {"paper's loss": 149.831, "paper's SSIM": 0.225, "paper's PSNR": 21.190},
    ("eccv", "mse"): {"paper's loss": 150.343, "paper's SSIM": 0.201, "paper's PSNR": 21.130},
}
# Columns of the results table: the key in the metrics, digits after the point.
SCORES = {
    "test loss": ("test.loss", None),
    "ab SSIM": ("test.ssim", 3),
    "ab PSNR": ("test.psnr", 2),
    "ab MSE": ("test.mse", 1),
    "RGB SSIM": ("rgb.ssim", 3),
    "RGB PSNR": ("rgb.psnr", 2),
    "colorfulness": ("colorfulness", 1),
}
# Columns of the table of colors, likewise; the key is one of metrics/<name>.json or of evaluations/<name>.json.
COLOR_SCORES = {
    "AuC": ("auc", 3),
    "AuC re-balanced": ("auc_rb", 3),
    "LPIPS": ("lpips", 4),
    "RGB MAE %": ("rgb_mae", 2),
    "colorfulness distance": ("colorfulness_distance", 1),
    "histogram divergence": ("histogram_divergence", 3),
    "recognized": ("recognized", 3),
    "ab MSE, flips averaged": ("flip_mse", 1),
}
DIGITS = {
    **{column: digits for column, (_, digits) in COLOR_SCORES.items()},
    **{column: digits for column, (_, digits) in SCORES.items() if digits},
    "paper's SSIM": 3,
    "paper's PSNR": 2,
    "first train accuracy": 3,
    "last train accuracy": 3,
    "test accuracy": 3,
}
IDENTITY = ["data", "n", "loss", "seed", "epoch", "init"]
NO_COLOR = "no color"
ORIGINAL = "original"
TRIVIAL = (NO_COLOR, ORIGINAL)
CAPTION = (
    "n test images; the weights of the best epoch: by validation loss, but of an adversarial row the one nearest to the "
    "originals' colorfulness within a bound on ab MSE. Loss, ab SSIM and ab PSNR (dB) follow the paper's "
    "protocol: on the ab planes in Lab units, with the data range of each batch of 64. A loss over bins of color is taken "
    "at 1/2 or 1/4 of the images' resolution, as it says. RGB SSIM, RGB PSNR (dB) and colorfulness (Hasler and "
    "Suesstrunk) are means over the rendered images."
)
COLOR_CAPTION = (
    "docs/metrics.md defines them. AuC: share of pixels within t of the true ab, over t = 0..150; re-balanced: each bin of "
    "color counts alike. LPIPS: on a VGG with {vgg} weights. Colorfulness distance: from the originals'; histogram "
    "divergence: of the 313 ab bins, in bits. Recognized: accuracy of a classifier trained on true colors. Flips averaged: "
    "over an image and its mirror image; nothing else here is."
)


@dataclass(frozen=True)
class Result:
    """What identifies a result (data, n, loss, seed...), and its metrics: "test.loss", "rgb.psnr"..."""

    run: Mapping[str, Any]
    metrics: Mapping[str, float]

    @property
    def setting(self) -> tuple[str, str]:
        """The data set, and the loss with what is under it: results are comparable within a setting."""
        return self.run["data"], loss_label(self.run)


def load_results(group: str = "", names: Sequence[str] | None = None) -> dict[str, Result]:
    """The results in metrics/ and evaluations/, or in a folder of them, by name: all that are there, or some.

    In order: the data set that most results have first, then by loss and name. Raises UserError where there are none.
    """
    folder = files.METRICS / group
    if names is None:
        names = [path.stem for path in sorted(folder.glob("*.json"))]
    if not names:
        raise UserError(f"{folder} holds no metrics: run `dvc repro` to create them")
    found = {}
    for name in ((Path(group) / one).as_posix() for one in names):
        try:
            result = Result(
                files.read_json(files.evaluation_path(name)),
                dict(_flat(files.read_json(files.metrics_path(name)))),
            )
            _ = result.run["data"]
        except (KeyError, TypeError, AttributeError) as error:
            message = f"{files.evaluation_path(name)} or {files.metrics_path(name)} is damaged ({one_line(error)})"
            raise UserError(f"{message}: remove it and run `dvc repro`") from None
        found[Path(name).name] = result
    sets = [result.run["data"] for result in found.values()]

    def order(item: tuple[str, Result]) -> tuple[int, str, bool, str, str]:
        name, result = item
        data, loss = result.setting
        return -sets.count(data), data, loss != "mse", loss, name

    return dict(sorted(found.items(), key=order))


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def load_history(name: str) -> pd.DataFrame:
    """A training history, one row per epoch. Raises UserError where it is missing or damaged."""
    path = files.curves_path(name)
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to create it") from None
    except ValueError as error:  # pandas' errors are
        raise UserError(
            f"{path} is damaged ({one_line(error)}): remove it and run `dvc repro`"
        ) from error


def results_table(results: Mapping[str, Result], baselines: Mapping[str, Result]) -> pd.DataFrame:
    """One row per colorizer; after those of a setting, one for no color; after those of a data set, one for the originals.

    The columns: the name, the results, what identifies them.
    """
    rows, by_data = [], {baseline.run["data"]: baseline for baseline in baselines.values()}
    for data, of_data in itertools.groupby(results.items(), key=lambda item: item[1].run["data"]):
        baseline = by_data.get(data)
        for _, group in itertools.groupby(of_data, key=lambda item: item[1].setting):
            for name, result in group:
                run = {
                    "seed": result.run["seed"],
                    "epoch": result.run["best_epoch"],
                    "init": result.run["init"],
                }
                scores = _scores(result) | paper_numbers(name, result.run)
                rows.append({"colorizer": name, **_setting(result), **run, **scores})
            if baseline:  # its loss is that of the group; results of earlier code do not say it
                scores = _scores(baseline) | {
                    "test loss": result.run.get("baseline_loss", math.nan)
                }
                rows.append({"colorizer": NO_COLOR, **_setting(result), **scores})
        if baseline:
            colorfulness = baseline.run["original_colorfulness"]
            original = {
                "colorizer": ORIGINAL,
                "data": data,
                "n": baseline.run["n"],
                "colorfulness": colorfulness,
            }
            if "original_recognized" in baseline.run:
                original["recognized"] = baseline.run["original_recognized"]
            rows.append(original)
    table = pd.DataFrame(rows)
    shown = [column for column in table if column not in IDENTITY]
    return table[[*shown, *IDENTITY]].astype({"n": "Int64", "seed": "Int64", "epoch": "Int64"})


def _setting(result: Result) -> dict[str, Any]:
    return {"data": result.run["data"], "n": result.run["n"], "loss": loss_label(result.run)}


def _scores(result: Result) -> dict[str, float]:
    every = {**result.run, **result.metrics}
    colors = {column: every[key] for column, (key, _) in COLOR_SCORES.items() if key in every}
    return {column: result.metrics[key] for column, (key, _) in SCORES.items()} | colors


def color_table(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the results table that are about colors; no color once for each data set."""
    columns = ["colorizer", *(column for column in COLOR_SCORES if column in table), "data", "n"]
    repeated = (table["colorizer"] == NO_COLOR) & table.duplicated(["colorizer", "data"])
    return table.loc[~repeated, columns].reset_index(drop=True)


def paper_numbers(name: str, run: Mapping[str, Any]) -> dict[str, float]:
    """The paper's numbers for a colorizer; none where the data or the loss differ."""
    numbers = dict(PAPER.get((name, run["loss"]), {})) if run["data"] == "cifar10" else {}
    if run.get("lpips_weights") == "random":
        numbers.pop("paper's loss", None)  # LPIPS on ImageNet's VGG is another quantity
    return numbers


def loss_label(run: Mapping[str, Any]) -> str:
    """The loss's name; of LPIPS with what is under it, of a loss over the bins with the resolution of the logits."""
    if "lpips_weights" in run:
        return f"lpips, {run['lpips_weights']} VGG"
    return f"{run['loss']} at 1/{run['scale']}" if "scale" in run else str(run.get("loss"))


def to_markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers with their significant digits."""
    cells = formatted(table)
    lines = [
        list(cells.columns),
        ["---", *["---:"] * (len(cells.columns) - 1)],
        *cells.values.tolist(),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text; empty where there is no value."""

    def text(column: str, value: Any) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, str):
            return value
        if column.endswith("loss") and isinstance(value, float):
            return f"{value:.2f}" if value >= 10 else f"{value:.4f}"
        return f"{value:.{DIGITS[column]}f}" if column in DIGITS else str(value)

    return pd.DataFrame(
        {column: [text(column, value) for value in table[column]] for column in table.columns}
    )
