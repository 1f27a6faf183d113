"""Turn a data set's archive into prepared arrays, and draw its validation set with the seed."""

import argparse

from colorpipe import params, splitting
from colorpipe.errors import run


def main() -> None:
    """Write data/<data>/{train,val,test}.npy, their labels, and classes.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a data set of params.yaml")
    args = parser.parse_args()
    p = params.load()
    settings = p.datasets.get(args.data)
    splitting.split(args.data, settings.size, settings.val_size, p.seed)


if __name__ == "__main__":
    run(main)
