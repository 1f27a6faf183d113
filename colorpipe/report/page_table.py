"""A table of the page: its cells as text, and the marks of the best and the worse values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from colorpipe.evaluation.table import METRICS
from colorpipe.report.tables import BY_TITLE, GRAY_BASELINE, REFERENCE_ROWS, formatted

# Chooses the better values of a column.
BETTER: dict[str, Callable[[Iterable[float]], float]] = {
    metric.title: {"lower": min, "higher": max}[metric.better]
    for metric in METRICS
    if metric.better
}


@dataclass(frozen=True)
class Cell:
    """A cell as text, with the classes that style it."""

    text: str
    classes: str


@dataclass(frozen=True)
class Row:
    """A row of cells. A reference row is the gray baseline or the originals."""

    cells: list[Cell]
    is_reference: bool


@dataclass(frozen=True)
class Table:
    """A table and a caption that explains its columns."""

    numbers: pd.DataFrame
    caption: str

    @property
    def columns(self) -> dict[str, str]:
        """The columns, and "text" for those that hold text."""
        return {column: self._kind(column) for column in self.numbers}

    @property
    def units(self) -> dict[str, str]:
        """The unit or the range of each column that holds a metric."""
        return {column: BY_TITLE[column].unit for column in self.numbers if column in BY_TITLE}

    @property
    def rows(self) -> list[Row]:
        """The rows for the template."""
        marks, kinds = find_marks(self.numbers), self.columns
        rows = []
        for number, texts in enumerate(formatted(self.numbers).values.tolist()):
            cells = [
                Cell(text, marks.get((number, column), kind))
                for text, (column, kind) in zip(texts, kinds.items(), strict=True)
            ]
            rows.append(Row(cells, texts[0] in REFERENCE_ROWS))
        return rows

    def _kind(self, column: str) -> str:
        return "text" if any(isinstance(value, str) for value in self.numbers[column]) else ""


def find_marks(table: pd.DataFrame) -> dict[tuple[int, str], str]:
    """Find the best values of a table, and those that are worse than the gray baseline.

    Values compare if they have the same data, and for the test loss the same loss. In the table of
    the pretext task they also need the same mode and percentage of labels.

    Args:
        table: A table whose first column holds the names of the rows.

    Returns:
        "best" or "worse" by row number and column. A value without another to compare is not best.
    """
    marks: dict[tuple[int, str], str] = {}
    table = table.reset_index(drop=True)
    for column in [column for column in BETTER if column in table]:
        better, names = BETTER[column], table.iloc[:, 0]
        keys = [key for key in ("data", "mode", "labels") if key in table]
        keys += ["loss"] if column == "test loss" and "loss" in table else []
        for _, group in table.groupby(keys, sort=False, dropna=False):
            values = group[column].dropna()
            compared = values[~names[values.index].isin(REFERENCE_ROWS)]
            baseline = values[names[values.index] == GRAY_BASELINE]
            for number, value in compared.items():
                if len(compared) > 1 and value == better(compared):
                    marks[number, column] = "best"
                if len(baseline) and better([value, *baseline]) != value:
                    marks[number, column] = "worse"
    return marks
