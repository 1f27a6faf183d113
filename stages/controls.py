"""Write the encoders that no colorizer trained, with which the pretext task compares."""

import argparse
from pathlib import Path

from colorpipe.runtime.process import run_main


def main() -> None:
    """Write models/{xavier,random,imagenet}/best.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="the folder of the data set's initial weights")
    args = parser.parse_args()
    from colorpipe import config  # late, for a quick --help; and Ctrl-C during the imports is one line too
    from colorpipe.evaluation import controls

    controls.write(args.weights, config.load())


if __name__ == "__main__":
    run_main(main)
