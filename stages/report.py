"""Write the tables, the figures and the page from all results."""

from colorpipe.runtime.process import run_main


def main() -> None:
    """Write report/: tables, curves, figures and index.html."""
    from colorpipe.report import build

    build.write_report()


if __name__ == "__main__":
    run_main(main)
