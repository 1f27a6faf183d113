"""Find or download a data set and its initial weights.

No other stage uses the network.
"""

import argparse
import socket

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write data/<data>/source.json and data/<data>/weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=name, help="name of a data set in params.yaml")
    args = parser.parse_args()
    # Imported late, so that --help is quick and Ctrl-C during the imports ends with one line.
    from colorpipe import config
    from colorpipe.data.download import download

    socket.setdefaulttimeout(60)  # seconds; the libraries that download wait forever
    download(args.data, config.load_params())


if __name__ == "__main__":
    run_main(main)
