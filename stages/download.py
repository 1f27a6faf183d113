"""Find or download a data set and its initial weights.

No other stage uses the network.
"""

import argparse
import socket

from colorpipe.runtime.process import run_main, slug


def main() -> None:
    """Write data/<data>/source.json and data/<data>/weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=slug, help="name of a data set in params.yaml")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.data.download import download

    socket.setdefaulttimeout(60)  # seconds; the libraries that download wait forever
    download(args.data, config.load_params())


if __name__ == "__main__":
    run_main(main)
