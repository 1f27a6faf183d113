"""Turn a data set into prepared arrays. The validation set is drawn with the seed."""

import argparse

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write data/<data>/{train,val,test}.npy, their labels, classes.json and prior.npy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=name, help="name of a data set in params.yaml")
    args = parser.parse_args()
    # Imported late, so that --help is quick and Ctrl-C during the imports ends with one line.
    from colorpipe import config
    from colorpipe.data.split import split

    split(args.data, config.load_params())


if __name__ == "__main__":
    run_main(main)
