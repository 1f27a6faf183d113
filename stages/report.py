"""Put the metrics, the curves and the grids together: a table, figures and a page."""

from colorpipe.runtime.process import run_main


def main() -> None:
    """Write report/: results.md, results.csv, the figures and index.html."""
    from colorpipe.report import build  # late: Ctrl-C during the imports is one line too

    build.build()


if __name__ == "__main__":
    run_main(main)
