"""Train and test the pretext task's classifier from one initialization."""

import argparse
import functools
from pathlib import Path

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write models/pretext/<name>, curves/pretext/<name>.csv, metrics/ and evaluations/pretext/<name>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", type=name, help="the run's name")
    parser.add_argument("--data", required=True, type=name, help="a data set of params.yaml")
    parser.add_argument("--init", required=True, type=Path, help="a colorizer's weights; or a file without any: Xavier")
    args = parser.parse_args()
    from colorpipe import config  # late, for a quick --help; and Ctrl-C during the imports is one line too
    from colorpipe.evaluation import pretext
    from colorpipe.runtime import launch

    params = config.load()
    work = functools.partial(pretext.run, args.name, args.data, args.init, params)
    launch.share_out(work, params.processes, params.train.shards)


if __name__ == "__main__":
    run_main(main)
