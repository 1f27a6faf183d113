"""Write the reference encoders, with which the pretext task compares colorizers."""

import argparse
from pathlib import Path

from colorpipe.runtime.process import run_main


def main() -> None:
    """Write models/{xavier,random,imagenet}/best.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("start", type=Path, help="the file of the encoder's initial weights")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.pretext.encoders import write_reference_encoders

    write_reference_encoders(args.start, config.load_params())


if __name__ == "__main__":
    run_main(main)
