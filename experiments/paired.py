"""Compare two colorizers on the same test images: the difference with its 95 % interval.

    python -m experiments.paired unet_timm unet --data folder

The interval is over the test images. It does not include the differences between seeds.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from colorpipe import config, files, weights
from colorpipe.app.colorize import load_model
from colorpipe.app.options import number_between
from colorpipe.data import arrays
from colorpipe.inference import predict, prepare_device
from colorpipe.runtime.process import run_main, slug
from experiments.seeds import half_width

BATCH = 32  # images


@torch.no_grad()
def measure_errors(path: Path, images: Tensor, vividness: float | None) -> pd.Series:
    """Return the ab MSE of each image in Lab units squared.

    Args:
        path: The weight file of a colorizer.
        images: Stored images, (N, 3, H, W) uint8.
        vividness: As in `decoding.set_vividness`, for a colorizer that classifies over the color
            bins. Other colorizers ignore it.
    """
    classifies = weights.load_metadata(path).get("head") == "bins"
    model, _ = load_model(path, images.device.type, vividness if classifies else None)
    errors = []
    for batch in images.split(BATCH):
        colorized = predict(model, batch)
        errors.append((colorized.prediction.ab - colorized.true_ab).square().mean(dim=(1, 2, 3)))
    return pd.Series(torch.cat(errors).cpu().numpy())


def main() -> None:
    """Print the mean ab MSE of both colorizers, and the difference."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.paired",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("colorizer", help="a name that `colorpipe models` lists, or a weight file")
    parser.add_argument("reference", help="the colorizer to subtract, named in the same way")
    parser.add_argument("--data", required=True, type=slug, help="a data set of params.yaml")
    parser.add_argument(
        "--vividness",
        type=number_between(float, 0, 1),
        help="0 to 1, for colorizers that classify over the color bins (default: as evaluated)",
    )
    args = parser.parse_args()
    device = prepare_device(0, config.load_params().threads)  # no random numbers are drawn
    images = arrays.load_array(files.images_path(args.data, "test"), device)
    errors = {
        name: measure_errors(weights.find_weights(name, "colorizer"), images, args.vividness)
        for name in (args.colorizer, args.reference)
    }
    for name, values in errors.items():
        print(f"{name}: ab MSE {values.mean():.4g} on {len(images)} test images")
    difference = errors[args.colorizer] - errors[args.reference]
    print(f"difference: {difference.mean():+.4g} ± {half_width(difference):.2g}")


if __name__ == "__main__":
    run_main(main)
