"""Train and test one classifier of the pretext task."""

import argparse

from colorpipe.runtime.process import run_main, slug


def main() -> None:
    """Write models/, curves/, metrics/ and evaluations/ of pretext/<init>-<mode>-<labels>."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("init", type=slug, help="a colorizer of dvc.yaml, or a reference encoder")
    parser.add_argument("--mode", required=True, choices=("finetune", "probe", "knn"))
    parser.add_argument("--labels", required=True, type=int, help="percent of the training labels")
    parser.add_argument("--data", required=True, type=slug, help="a data set of params.yaml")
    args = parser.parse_args()
    from colorpipe import config
    from colorpipe.pretext.run import run_pretext

    run = config.PretextRun(args.init, args.mode, args.labels)
    run_pretext(run, args.data, config.load_params())


if __name__ == "__main__":
    run_main(main)
