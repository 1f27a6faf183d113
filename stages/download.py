"""Fetch a data set's archive and the weights that its settings ask for: the only stage that touches the network."""

import argparse

from colorpipe import download, params
from colorpipe.errors import run


def main() -> None:
    """Write data/<data>/raw and data/<data>/weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a data set of params.yaml")
    args = parser.parse_args()
    p = params.load()
    download.download(args.data, p.datasets.get(args.data), p.imagenet, p.lpips.random_seed)


if __name__ == "__main__":
    run(main)
