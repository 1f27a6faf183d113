"""Turn a data set's archive into prepared arrays, and draw its validation set with the seed."""

import argparse

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write data/<data>/{train,val,test}.npy, their labels, classes.json and prior.npy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=name, help="a data set of params.yaml")
    args = parser.parse_args()
    from colorpipe import (
        config,  # late, for a quick --help; and Ctrl-C during the imports is one line too
    )
    from colorpipe.data.split import split

    params = config.load_params()
    settings = params.data(args.data)
    encoding = params.loss_settings("classification")
    split(
        args.data,
        settings.size,
        settings.val_size,
        params.seed,
        encoding["neighbors"],
        encoding["sigma"],
    )


if __name__ == "__main__":
    run_main(main)
