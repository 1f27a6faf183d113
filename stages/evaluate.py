"""Test one colorizer on the test set."""

import argparse

from colorpipe.errors import run


def main() -> None:
    """Write metrics/<name>.json, grids/<name>.png and galleries/<name>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a colorizer that was trained")
    parser.add_argument("--data", required=True, help="the data set to test on")
    parser.add_argument("--loss", required=True, help="the loss to report as test.loss")
    args = parser.parse_args()
    from colorpipe import evaluation, params  # seconds: Ctrl-C in them is one line too

    evaluation.evaluate(args.name, args.data, args.loss, params.load().threads)


if __name__ == "__main__":
    run(main)
