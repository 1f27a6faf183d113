"""Train one colorizer."""

import argparse

from colorpipe.errors import run


def main() -> None:
    """Write models/<name>/{best,last}.safetensors and curves/<name>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="what the colorizer is called: a row of the table in dvc.yaml")
    parser.add_argument("--model", required=True, help="its architecture, a file of colorpipe/models")
    parser.add_argument("--data", required=True, help="a data set of params.yaml")
    parser.add_argument("--loss", required=True, help="a file of colorpipe/losses")
    args = parser.parse_args()
    from colorpipe import colorization, params  # seconds: Ctrl-C in them is one line too

    colorization.train(args.name, args.model, args.data, args.loss, params.load())


if __name__ == "__main__":
    run(main)
