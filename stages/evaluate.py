"""Test one colorizer on the test set."""

import argparse

from colorpipe.runtime.process import run_main, slug


def main() -> None:
    """Write metrics/, evaluations/ and galleries/<name>.json, and grids/<name>.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=slug, help="a trained colorizer")
    parser.add_argument("--data", required=True, type=slug, help="the data set to test on")
    parser.add_argument("--loss", required=True, type=slug, help="the loss to report as test.loss")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.evaluation.colorizers import evaluate

    evaluate(args.name, args.data, args.loss, config.load_params())


if __name__ == "__main__":
    run_main(main)
