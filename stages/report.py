"""Put the metrics, the curves and the grids together: a table, figures and a page."""

from colorpipe.errors import run


def main() -> None:
    """Write report/: results.md, results.csv, the figures and index.html."""
    from colorpipe import report  # seconds: Ctrl-C in them is one line too

    report.write()


if __name__ == "__main__":
    run(main)
