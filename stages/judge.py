"""Train the judge of a data set: a classifier on true colors, to which predicted ones are shown."""

import argparse
import functools

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write models/judge/<data>/{best,last}.safetensors and curves/judge/<data>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=name, help="a data set of params.yaml")
    parser.add_argument("--recipe", required=True, type=name, help="how to train it: a recipe of params.yaml")
    args = parser.parse_args()
    from colorpipe import config  # late, for a quick --help; and Ctrl-C during the imports is one line too
    from colorpipe.evaluation import judge
    from colorpipe.runtime import launch

    params = config.load()
    work = functools.partial(judge.train, args.data, args.recipe, params)
    launch.share_out(work, params.processes, params.recipe(args.recipe).shards)


if __name__ == "__main__":
    run_main(main)
