"""The page's tables of scores, one per data set, with the best and the worse values marked."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from colorpipe.report.results import split_label
from colorpipe.report.tables import BY_TITLE, GRAY_BASELINE, ORIGINAL, REFERENCE_ROWS, format_table

# The columns and their meaning. The test loss has no column, because colorizers differ in losses.
COLUMNS = {
    "ab MSE": "mean squared error of a and b",
    "ab PSNR": "peak signal-to-noise ratio of a and b per batch of 64 images",
    "ab SSIM": "similarity of the structure of a and b",
    "RGB PSNR": "peak signal-to-noise ratio of the rendered image",
    "LPIPS": "difference in the features of a VGG network",
    "colorfulness": "how vivid the image is; the value nearest to the originals' is best",
}


@dataclass(frozen=True)
class Cell:
    """A value as text.

    Attributes:
        text: The value, or "" if there is none.
        half: Half the width of the 95 % interval, or "" for a single seed.
        paper: The paper's value, or "".
        mark: "best", "worse" than the gray baseline, "best worse" for both, or "".
    """

    text: str
    half: str = ""
    paper: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A colorizer, the gray baseline or the originals.

    Attributes:
        name: Its name.
        about: Its architecture and loss, or a description.
        cells: Its values in the order of the columns.
    """

    name: str
    about: str
    cells: list[Cell]

    @property
    def is_reference(self) -> bool:
        """Return whether the row is the gray baseline or the originals."""
        return self.name in REFERENCE_ROWS


@dataclass(frozen=True)
class ScoreTable:
    """The scores on a data set.

    Attributes:
        data: The data set.
        n: The number of test images.
        columns: The explanation of each column.
        rows: The colorizers by ab MSE, then the gray baseline and the originals.
    """

    data: str
    n: int
    columns: dict[str, str]
    rows: list[Row]


def score_tables(scores: pd.DataFrame, half_widths: pd.DataFrame | None = None) -> list[ScoreTable]:
    """Return a table of scores per data set.

    Args:
        scores: Rows as in `tables.results_table`. The columns are colorizer, data, n, loss, those
            of COLUMNS and optionally seeds.
        half_widths: Half the widths of the 95 % intervals, with the index of `scores` and any of
            its columns.
    """
    texts = format_table(scores).set_axis(scores.index)
    half_texts = texts.map(lambda _: "")
    if half_widths is not None:
        half_texts = format_table(half_widths.reindex_like(scores)).set_axis(scores.index)
    tables = []
    for data, rows in scores.groupby("data", sort=False):
        colorizers = rows[~rows["colorizer"].isin(REFERENCE_ROWS)].sort_values("ab MSE")
        references = [rows[rows["colorizer"] == name].head(1) for name in REFERENCE_ROWS]
        table = pd.concat([colorizers, *references])
        marks = find_marks(table)
        columns = {title: _explain(title) for title in COLUMNS if title in table}
        shown = []
        for index, row in table.iterrows():
            cells = [
                Cell(
                    texts.at[index, title],
                    half_texts.at[index, title],
                    _paper(row, title),
                    marks.get((index, title), ""),
                )
                for title in columns
            ]
            shown.append(Row(str(row["colorizer"]), " · ".join(_about(row)), cells))
        tables.append(ScoreTable(str(data), int(table["n"].max()), columns, shown))
    return tables


def find_marks(table: pd.DataFrame) -> dict[tuple[object, str], str]:
    """Find the best values of a data set, and those that are worse than the gray baseline.

    Colorfulness is better the nearer it is to the originals' colorfulness.

    Args:
        table: The scores on one data set, with at most one gray baseline and one row of originals.

    Returns:
        "best", "worse" or "best worse" by index and column. A value without another to compare is
        not best.
    """
    marks: dict[tuple[object, str], str] = {}
    names = table["colorizer"]
    for column in [title for title in COLUMNS if title in table]:
        better = BY_TITLE[column].better
        # Lower is better.
        costs = -table[column] if better == "higher" else table[column]
        if better is None:
            costs = (table[column] - table.loc[names == ORIGINAL, column].mean()).abs()
        values = costs[~names.isin(REFERENCE_ROWS)].dropna()
        baseline = costs[names == GRAY_BASELINE].min()
        for index, value in values.items():
            applies = {"best": len(values) > 1 and value == values.min(), "worse": value > baseline}
            if any(applies.values()):
                marks[index, column] = " ".join(mark for mark in applies if applies[mark])
    return marks


def _about(row: "pd.Series[str]") -> Iterator[str]:
    references = {GRAY_BASELINE: "predicts a = b = 0", ORIGINAL: "the true colors"}
    loss = split_label(str(row["loss"]))[0].replace("_", " ")
    yield references.get(row["colorizer"], f"loss: {loss}")
    if row.get("seeds", 1) > 1 and row["colorizer"] not in REFERENCE_ROWS:
        yield f"{row['seeds']:.0f} seeds"


def _explain(title: str) -> str:
    metric = BY_TITLE[title]
    note = f"{COLUMNS[title]} ({metric.unit})"
    return f"{note}; {metric.better} is better" if metric.better else note


def _paper(row: "pd.Series[float]", title: str) -> str:
    """Return the paper's number for a cell, or "". Its loss is the ab MSE or LPIPS."""
    loss = {"mse": "ab MSE", "lpips": "LPIPS"}.get(split_label(str(row["loss"]))[0])
    columns = {loss: "paper's loss", "ab SSIM": "paper's SSIM", "ab PSNR": "paper's PSNR"}
    value = row.get(columns.get(title, ""), float("nan"))
    return "" if pd.isna(value) else f"{value:.{BY_TITLE[title].digits}f}"
