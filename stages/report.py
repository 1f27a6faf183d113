"""Put the metrics, the curves and the grids together: a table, figures and a page."""

from colorpipe import report
from colorpipe.errors import run


def main() -> None:
    """Write report/: results.md, results.csv, the figures and index.html."""
    report.write()


if __name__ == "__main__":
    run(main)
