"""Write the tables, the figures and the page from all results."""

from colorpipe.runtime.process import run_main


def main() -> None:
    """Write report/: results.md, results.csv, pretext.csv, the figures and index.html."""
    from colorpipe.report import build  # imported late, so that Ctrl-C during it prints one line

    build.build()


if __name__ == "__main__":
    run_main(main)
