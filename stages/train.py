"""Train one colorizer."""

import argparse
import importlib
from pathlib import Path

from colorpipe.runtime.process import has_launcher, run_main, slug


def main() -> None:
    """Write models/<name>/{best,last}.safetensors and curves/<name>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=slug, help="a colorizer of dvc.yaml")
    parser.add_argument("--model", required=True, type=slug, help="a module of colorpipe/models")
    parser.add_argument("--data", required=True, type=slug, help="a data set of params.yaml")
    parser.add_argument("--loss", required=True, type=slug, help="a module of colorpipe/losses")
    parser.add_argument("--recipe", required=True, type=slug, help="train or recipes.<name>")
    parser.add_argument("--step", required=True, choices=("colorization", "adversarial"))
    # Not --start, which torchrun would take for a short form of its --start-method.
    parser.add_argument("--start-from", required=True, type=Path, help="a file of initial weights")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.training.colorization import ColorizerEntry

    params = config.load_params()
    if params.processes > 1 and not has_launcher():
        from colorpipe.runtime import launch

        launch.run_in_processes(params.processes)
        return
    entry = ColorizerEntry(args.model, args.data, args.loss, args.recipe, args.start_from)
    train = importlib.import_module(f"colorpipe.training.{args.step}").train
    train(args.name, entry, params)


if __name__ == "__main__":
    run_main(main)
