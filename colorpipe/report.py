"""The report: one table of all colorizers with the trivial baseline, the pretext comparison, figures, and a page."""

import itertools
from pathlib import Path

import pandas as pd

from colorpipe import figures, files, grids, page, paths
from colorpipe.errors import UserError, one_line

# Table 1 of the 2023 report: CIFAR-10 test set, 50 epochs. Shown beside results on CIFAR-10 with the same loss alone.
PUBLISHED = {
    ("resnet", "mse"): {"report's loss": 147.256, "report's SSIM": 0.227, "report's PSNR": 21.212},
    ("resnet_lpips", "lpips"): {"report's loss": 0.095, "report's SSIM": 0.207, "report's PSNR": 21.088},
    ("densenet", "mse"): {"report's loss": 149.831, "report's SSIM": 0.225, "report's PSNR": 21.190},
    ("eccv", "mse"): {"report's loss": 150.343, "report's SSIM": 0.201, "report's PSNR": 21.130},
}
# Columns of the results table: the key in the metrics, digits after the point.
SCORES = {
    "test loss": ("loss", None),
    "ab SSIM": ("ssim", 3),
    "ab PSNR": ("psnr", 2),
    "ab MSE": ("mse", 1),
    "RGB SSIM": ("rgb_ssim", 3),
    "RGB PSNR": ("rgb_psnr", 2),
    "colourfulness": ("rgb_colourfulness", 1),
}
DIGITS = {
    **{column: digits for column, (_, digits) in SCORES.items() if digits},
    "report's SSIM": 3,
    "report's PSNR": 2,
    "first train accuracy": 3,
    "last train accuracy": 3,
    "test accuracy": 3,
}
CAPTION = (
    "n test images; the weights of the best epoch by validation loss. Loss, ab SSIM and ab PSNR (dB) follow the report's "
    "protocol: on the ab planes in Lab units, the data range read off each batch of 64. RGB SSIM, RGB PSNR (dB) and "
    "colourfulness (Hasler and Suesstrunk) are means over the rendered images."
)
PRETEXT_CAPTION = (
    "The same classifier, started from the colorizer's encoder or from Xavier. Training accuracy after the first and last "
    "epoch; test accuracy and loss (cross-entropy) at the best epoch by validation loss."
)


def write() -> None:
    """Write report/ from metrics/, curves/, grids/ and galleries/."""
    results, starts = load_metrics(paths.METRICS), load_metrics(paths.METRICS / "pretext")
    left_out = {found["left_out"] for found in starts.values() if "left_out" in found}
    starts = {name: found for name, found in starts.items() if "left_out" not in found}
    curves, pretext_curves = load_curves(paths.CURVES, results), load_curves(paths.CURVES / "pretext", starts)
    table, pretext = results_table(results), pretext_table(starts)
    pretext_caption = f"Left out, as {', '.join(left_out)}." if left_out else PRETEXT_CAPTION

    first = next(iter(results.values()))["data"]
    compared = {name: paths.grid(name) for name in results if results[name]["data"] == first}
    grids.compare(paths.REPORT / "overview.png", compared)
    losses = {name: found["loss"] for name, found in results.items()}
    figures.training_curves(paths.REPORT / "curves.png", curves, losses)
    figures.pretext_curves(paths.REPORT / "pretext.png", pretext_curves)

    files.write_text(paths.REPORT / "results.csv", table.to_csv(index=False))
    files.write_text(paths.REPORT / "pretext.csv", pretext.to_csv(index=False))
    sections = [to_markdown(table), CAPTION, *([to_markdown(pretext)] if starts else []), pretext_caption]
    files.write_text(paths.REPORT / "results.md", "\n\n".join(sections) + "\n")
    tables = (page.Table(table, formatted(table), CAPTION), page.Table(pretext, formatted(pretext), pretext_caption))
    page.write(results, tables, curves, pretext_curves)
    print(to_markdown(table))
    print(f"report: {paths.REPORT / 'index.html'}")


def load_metrics(folder: Path) -> dict[str, dict]:
    """The metrics in a folder by name: the data set that most have first, then by loss and name."""
    found = {path.stem: files.read_json(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise UserError(f"{folder} holds no metrics: `dvc repro` makes them")
    data_sets = [metrics["data"] for metrics in found.values()]

    def order(item: tuple[str, dict]) -> tuple:
        name, metrics = item
        return -data_sets.count(metrics["data"]), metrics["data"], metrics.get("loss") == "lpips", name

    return dict(sorted(found.items(), key=order))


def load_curves(folder: Path, names: dict[str, dict]) -> dict[str, pd.DataFrame]:
    """The curves (one row an epoch) of each name."""
    return {name: _curves(folder / f"{name}.csv") for name in names}


def _curves(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except ValueError as error:  # pandas' errors are
        raise UserError(f"{path} is damaged ({one_line(error)}): remove it and run `dvc repro`") from error


def results_table(results: dict[str, dict]) -> pd.DataFrame:
    """A row a colorizer; after those of the same data and loss, a row for no colour at all."""
    rows = []
    for data, of_data in itertools.groupby(results.items(), key=lambda item: item[1]["data"]):
        for _, group in itertools.groupby(of_data, key=lambda item: item[1]["loss"]):
            for name, found in group:
                setting = {"data": data, "n": found["n"], "loss": loss_label(found)}
                scores = {**found["test"], **{f"rgb_{key}": value for key, value in found["rgb"].items()}}
                published = published_numbers(name, found)
                if found.get("lpips_weights") == "random":
                    published.pop("report's loss", None)  # LPIPS on ImageNet's VGG is another quantity
                run = {"seed": found["seed"], "epoch": found["best_epoch"]}
                rows.append({"colorizer": name, **setting, **run, **_scores(scores), **published})
            rows.append({"colorizer": "no colour", **setting, **_scores({**found["no_colour"], "rgb_colourfulness": 0.0})})
        rows.append({"colorizer": "original", "data": data, "n": found["n"], **found["original"]})
    table = pd.DataFrame(rows)
    return table.astype({"n": "Int64", "seed": "Int64", "epoch": "Int64"})


def published_numbers(name: str, found: dict) -> dict[str, float]:
    """The report's numbers for the colorizer with these metrics; none where data or loss are others."""
    return dict(PUBLISHED.get((name, found["loss"]), {})) if found["data"] == "cifar10" else {}


def loss_label(found: dict) -> str:
    """The loss of some metrics, by name; with what is under LPIPS."""
    return f"lpips, {found['lpips_weights']} VGG" if found["loss"] == "lpips" else found["loss"]


def _scores(found: dict[str, float]) -> dict[str, float]:
    return {column: found[key] for column, (key, _) in SCORES.items()}


def pretext_table(pretext: dict[str, dict]) -> pd.DataFrame:
    """A row a start."""
    return pd.DataFrame(
        {
            "start": name,
            "data": found["data"],
            "n": found["n"],
            "seed": found["seed"],
            "epoch": found["best_epoch"],
            "first train accuracy": found["train"]["first_accuracy"],
            "last train accuracy": found["train"]["accuracy"],
            "last train loss": found["train"]["loss"],
            "test accuracy": found["test"]["accuracy"],
            "test loss": found["test"]["loss"],
        }
        for name, found in pretext.items()
    )


def to_markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers with the digits that mean something."""
    cells = formatted(table)
    lines = [list(cells.columns), ["---", *["---:"] * (len(cells.columns) - 1)], *cells.values.tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text; nothing where there is no value."""

    def text(column: str, value: object) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, str):
            return value
        if column.endswith("loss") and isinstance(value, float):
            return f"{value:.2f}" if value >= 10 else f"{value:.4f}"
        return f"{value:.{DIGITS[column]}f}" if column in DIGITS else str(value)

    return pd.DataFrame({column: [text(column, value) for value in table[column]] for column in table.columns})
