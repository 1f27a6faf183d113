"""Train and test one classifier of the pretext task."""

import argparse
import functools

from colorpipe.runtime.process import name, run_main


def main() -> None:
    """Write models/, curves/, metrics/ and evaluations/ of pretext/<init>-<mode>-<labels>."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("init", type=name, help="what it starts from: a row of the table in dvc.yaml, or a control")
    parser.add_argument("--mode", required=True, type=name, help="finetune, probe or knn")
    parser.add_argument("--labels", required=True, type=int, help="percent of the training labels")
    parser.add_argument("--data", required=True, type=name, help="a data set of params.yaml")
    args = parser.parse_args()
    from colorpipe import config  # late, for a quick --help; and Ctrl-C during the imports is one line too
    from colorpipe.evaluation import pretext
    from colorpipe.runtime import launch

    params = config.load()
    work = functools.partial(pretext.run, config.PretextRun(args.init, args.mode, args.labels), args.data, params)
    launch.share_out(work, params.processes, params.train.shards)


if __name__ == "__main__":
    run_main(main)
