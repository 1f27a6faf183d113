"""Turn a data set into prepared arrays. The validation set is drawn with the seed."""

import argparse

from colorpipe.runtime.process import run_main, slug


def main() -> None:
    """Write data/<data>/{train,val,test}.npy, their labels, classes.json and colors.npy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=slug, help="name of a data set in params.yaml")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.data.split import split

    split(args.data, config.load_params())


if __name__ == "__main__":
    run_main(main)
