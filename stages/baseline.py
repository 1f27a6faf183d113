"""Test the gray baseline, which predicts a = b = 0, on a test set."""

import argparse

from colorpipe.runtime.process import run_main, slug


def main() -> None:
    """Write metrics/baseline/<name>.json and evaluations/baseline/<name>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=slug, help="the name of the files")
    parser.add_argument("--data", required=True, type=slug, help="the data set to test on")
    parser.add_argument("--loss", required=True, type=slug, help="the loss to report as test.loss")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.evaluation.colorizers import evaluate_baseline

    evaluate_baseline(args.name, args.data, args.loss, config.load_params())


if __name__ == "__main__":
    run_main(main)
