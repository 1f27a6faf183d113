"""Make an evaluated colorizer the bundled one: `colorpipe colorize` uses it without `--model`.

    python -m experiments.bundle unet_timm --size 192

The weights are rounded to float16. The file's metadata has the test metrics of the unrounded
weights, the decodings from faithful to vivid, and the size at which the network sees a photograph.
"""

import argparse
from typing import Any

from colorpipe import files, weights
from colorpipe.app import model_zoo
from colorpipe.app.options import MAX_SIZE, number_between
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main, slug

DECODING = ("alpha", "temperature", "vividness")  # keys of evaluations/<colorizer>.json


def bundle(name: str, size: int) -> None:
    """Write the weight file of the bundled colorizer.

    Args:
        name: A trained and evaluated colorizer that classifies over the color bins.
        size: The network sees a photograph at about size * size pixels.

    Raises:
        UserError: The colorizer has not been evaluated, does not classify over the color bins, or
            has a weight that float16 cannot hold.
    """
    path = files.weights_path(name, "best")
    tensors, metadata = weights.load(path)
    metadata |= read_results(name, metadata)
    rounded = {}
    for key, tensor in tensors.items():
        rounded[key] = tensor.half() if tensor.is_floating_point() else tensor
        if not rounded[key].isfinite().all():
            raise UserError(f"{path}: {key} is too large for float16: use another colorizer")
    weights.save(weights.BUNDLED_PATH, rounded, {**metadata, "colorize_size": [size, size]})
    print(f"{weights.BUNDLED_PATH}: {weights.BUNDLED_PATH.stat().st_size / 1e6:.1f} MB")


def read_results(name: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the test metrics, the gray baseline's, and the decodings of a colorizer."""
    evaluation = model_zoo.load_evaluation(files.weights_path(name, "best"), metadata)
    command = f"run `dvc repro evaluate@{name} baseline@gray`"
    if evaluation is None:
        raise UserError(f"{name} has not been evaluated: {command}")
    if "vividness" not in evaluation:
        raise UserError(f"{name} does not classify over the color bins: use another colorizer")
    baseline = files.evaluation_path("baseline/gray")
    if not baseline.is_file() or not model_zoo.share_test_set(
        files.read_json(baseline), evaluation
    ):
        raise UserError(f"the gray baseline has not been evaluated on the same images: {command}")
    return {
        **{key: evaluation[key] for key in DECODING},
        "test": files.read_json(files.metrics_path(name))["test"],
        "baseline": files.read_json(files.metrics_path("baseline/gray"))["test"],
    }


def main() -> None:
    """Write the weight file of the bundled colorizer."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bundle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", type=slug, help="a colorizer that `dvc repro` has evaluated")
    parser.add_argument(
        "--size",
        type=number_between(int, 8, MAX_SIZE),
        required=True,
        help="size at which the network sees a photograph: about SIZE x SIZE pixels",
    )
    args = parser.parse_args()
    bundle(args.name, args.size)


if __name__ == "__main__":
    run_main(main)
