"""Fetch a data set's archive and the weights that its settings ask for: the only stage that uses the network."""

import argparse

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write data/<data>/raw and data/<data>/weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=name, help="a data set of params.yaml")
    args = parser.parse_args()
    from colorpipe import (
        config,  # late, for a quick --help; and Ctrl-C during the imports is one line too
    )
    from colorpipe.data.download import download

    download(args.data, config.load_params())


if __name__ == "__main__":
    run_main(main)
