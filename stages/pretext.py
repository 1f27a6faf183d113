"""Train and test the pretext task's classifier from one of its two starts."""

import argparse
from pathlib import Path

from colorpipe.errors import run


def main() -> None:
    """Write models/pretext/<name>, curves/pretext/<name>.csv and metrics/pretext/<name>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="what the run is called")
    parser.add_argument("--data", required=True, help="a data set of params.yaml")
    parser.add_argument("--start", required=True, type=Path, help="a colorizer's weights; or a file without any: Xavier")
    args = parser.parse_args()
    from colorpipe import params, pretext  # seconds: Ctrl-C in them is one line too

    pretext.run(args.name, args.data, args.start, params.load())


if __name__ == "__main__":
    run(main)
