"""A table of measurements, as Markdown and JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from colorpipe.report.tables import to_markdown


@dataclass(frozen=True)
class Table:
    """A title, what the numbers are, and the rows: cells by column, and under "raw" the numbers behind them."""

    title: str
    caption: str
    rows: list[dict[str, object]]

    def markdown(self) -> str:
        """The table under its title."""
        cells = pd.DataFrame(self.rows).drop(columns="raw")
        return f"## {self.title}\n\n{to_markdown(cells)}\n\n{self.caption}"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
