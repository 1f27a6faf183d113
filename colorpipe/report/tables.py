"""The table of results and the table of colors, with the gray baseline and the originals.

A table is a DataFrame with one row per colorizer. `to_markdown` and `format_table` turn it into
text.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

from colorpipe.evaluation.table import METRICS
from colorpipe.report.results import Result, loss_label

# Table 1 of the paper: CIFAR-10 test set, 50 epochs.
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
BY_TITLE = {metric.title: metric for metric in METRICS}
SCORES, COLOR_SCORES = (  # keys of the results table's and the table of colors' columns, by title
    {metric.title: metric.key for metric in METRICS if metric.table == table}
    for table in ("results", "colors")
)
DIGITS = {
    **{metric.title: metric.digits for metric in METRICS},
    "paper's SSIM": 3,
    "paper's PSNR": 2,
    "first train accuracy": 3,
    "last train accuracy": 3,
    "million parameters": 2,
    "minutes": 1,
}
RUN_COLUMNS = ["data", "n", "loss", "seed", "epoch", "start"]
GRAY_BASELINE = "gray baseline"
ORIGINAL = "original"
REFERENCE_ROWS = (GRAY_BASELINE, ORIGINAL)  # the rows that are not colorizers
CAPTION = (
    "n is the number of test images. Each colorizer is tested with the weights of its best epoch. "
    "The best epoch is the one with the lowest validation loss. For adversarial training it is "
    "the epoch whose colorfulness is nearest to the originals', and epochs with a large ab MSE "
    "rank last. Loss, ab SSIM and ab PSNR (dB) are computed on the ab planes in Lab units, with "
    "the data range of each batch of 64 images, because this protocol gives values near the "
    "paper's. A loss over color bins is computed at the given fraction of the images' resolution. "
    "RGB SSIM, RGB PSNR (dB) and colorfulness (Hasler and Suesstrunk) are means over the rendered "
    "images."
)
COLOR_CAPTION = (
    "docs/metrics.md defines these metrics. AuC is the share of pixels whose ab is within t Lab "
    "units of the true ab, averaged over t = 0..150. The re-balanced AuC gives each color bin the "
    "same weight. LPIPS uses a VGG with {vgg} weights. Colorfulness distance is the absolute "
    "difference to the originals' colorfulness. Histogram divergence compares the color-bin "
    "histogram with the originals', in bits."
)


def results_table(results: Mapping[str, Result], baselines: Mapping[str, Result]) -> pd.DataFrame:
    """Return the scores of the colorizers, of the gray baseline and of the originals.

    Args:
        results: Results of the colorizers by name, sorted by setting.
        baselines: Results of the gray baseline, one per data set. A data set may lack one.

    Returns:
        One row per colorizer. A row for the gray baseline follows the colorizers of each setting,
        and a row for the originals follows those of each data set. The columns are the name,
        SCORES, COLOR_SCORES, the paper's numbers if they apply, and RUN_COLUMNS.
    """
    rows: list[dict[str, Any]] = []
    baseline_of = {baseline.evaluation["data"]: baseline for baseline in baselines.values()}
    for data, in_data in itertools.groupby(
        results.items(), key=lambda item: item[1].evaluation["data"]
    ):
        baseline = baseline_of.get(data)
        for _, comparable in itertools.groupby(in_data, key=lambda item: item[1].setting):
            group = list(comparable)
            rows += [_colorizer_row(name, result) for name, result in group]
            if baseline:
                rows.append(_baseline_row(baseline, group[-1][1]))
        if baseline:
            rows.append(_original_row(baseline))
    table = pd.DataFrame(rows)
    scores = [column for column in table if column not in RUN_COLUMNS]
    return table[[*scores, *RUN_COLUMNS]].astype({"n": "Int64", "seed": "Int64", "epoch": "Int64"})


def _colorizer_row(name: str, result: Result) -> dict[str, Any]:
    run = result.evaluation
    identity = {"seed": run["seed"], "epoch": run["best_epoch"], "start": run["start"]}
    scores = {**_scores(result), **paper_numbers(name, run)}
    return {"colorizer": name, **_setting(result), **identity, **scores}


def _baseline_row(baseline: Result, colorizer: Result) -> dict[str, Any]:
    """Return the scores of the gray baseline, with its loss under the loss of a colorizer."""
    scores = {**_scores(baseline), "test loss": colorizer.metrics["baseline_loss"]}
    return {"colorizer": GRAY_BASELINE, **_setting(colorizer), **scores}


def _original_row(baseline: Result) -> dict[str, Any]:
    run = baseline.evaluation
    scores = {"colorfulness": baseline.metrics["original_colorfulness"]}
    return {"colorizer": ORIGINAL, "data": run["data"], "n": run["n"], **scores}


def _setting(result: Result) -> dict[str, Any]:
    return {
        "data": result.evaluation["data"],
        "n": result.evaluation["n"],
        "loss": loss_label(result.evaluation),
    }


def _scores(result: Result) -> dict[str, float]:
    return {title: result.metrics[key] for title, key in (SCORES | COLOR_SCORES).items()}


def color_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the results table that are about colors.

    The gray baseline occurs once per data set, because these scores do not depend on the loss. The
    originals have no scores here.
    """
    columns = ["colorizer", *COLOR_SCORES, "data", "n"]
    rows = table.loc[table["colorizer"] != ORIGINAL, columns]
    return rows.drop_duplicates(["colorizer", "data"]).reset_index(drop=True)


def paper_numbers(name: str, run: Mapping[str, Any]) -> dict[str, float]:
    """Return the paper's numbers for a colorizer.

    Args:
        name: A colorizer.
        run: What its result belongs to: data, loss and, for LPIPS, lpips_weights.

    Returns:
        The paper's loss, SSIM and PSNR by column. The loss is left out if LPIPS uses a VGG with
        random weights, which is another quantity. If the data set or the loss differ from the
        paper's, there are no numbers.
    """
    numbers = dict(PAPER.get((name, run["loss"]), {})) if run["data"] == "cifar10" else {}
    if run.get("lpips_weights") == "random":
        numbers.pop("paper's loss", None)
    return numbers


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown. Numbers are rounded as in `format_table`."""
    cells = format_table(table)
    lines = [
        list(cells.columns),
        ["---", *["---:"] * (len(cells.columns) - 1)],
        *cells.values.tolist(),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text. Numbers have the digits of their column, missing values are empty."""

    def text(column: str, value: Any) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, str):
            return value
        if column.endswith("loss") and isinstance(value, float):
            return f"{value:.2f}" if value >= 10 else f"{value:.4f}"
        digits = DIGITS.get(column)
        return str(value) if digits is None else f"{value:.{digits}f}"

    return pd.DataFrame(
        {column: [text(column, value) for value in table[column]] for column in table.columns}
    )
