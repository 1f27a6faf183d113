"""Train one colorizer."""

import argparse
import functools
from pathlib import Path

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write models/<name>/{best,last}.safetensors and curves/<name>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "name", type=name, help="the colorizer's name: a row of the table in dvc.yaml"
    )
    parser.add_argument(
        "--model", required=True, type=name, help="its architecture, a file of colorpipe/models"
    )
    parser.add_argument("--data", required=True, type=name, help="a data set of params.yaml")
    parser.add_argument("--loss", required=True, type=name, help="a file of colorpipe/losses")
    parser.add_argument("--task", required=True, type=name, help="a file of colorpipe/tasks")
    parser.add_argument(
        "--recipe", required=True, type=name, help="how to train it: a recipe of params.yaml"
    )
    parser.add_argument(
        "--init", required=True, type=Path, help="ImageNet weights, another row's, or none: random"
    )
    args = parser.parse_args()
    from colorpipe import (
        config,  # late, for a quick --help; and Ctrl-C during the imports is one line too
    )
    from colorpipe.runtime import launch
    from colorpipe.training.colorization import Row

    params, row = config.load(), Row(args.model, args.data, args.loss, args.recipe, args.init)
    work = functools.partial(config.plugin("tasks", args.task).train, args.name, row, params)
    launch.share_out(work, params.processes, params.recipe(row.recipe).shards)


if __name__ == "__main__":
    run_main(main)
