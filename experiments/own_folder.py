"""The bundled colorizers beside those trained on a folder of photographs, on its test photographs: a table, or a file.

After `dvc repro` or `dvc exp run` with dataset=folder: python -m experiments.own_folder [-o results/NAME/SEED.json]
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import torch

from colorpipe import config, files, metrics, weights
from colorpipe.app import colorize, model_zoo
from colorpipe.color import lab
from colorpipe.data.dataset import Array
from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL, to_markdown
from colorpipe.runtime import machine
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from experiments.differences import interval

DATA = "folder"
SCORES = {
    "ab MSE": ("mse", 0),
    "RGB PSNR": ("rgb_psnr", 2),
    "colorfulness": ("colorfulness", 1),
}  # each with its digits
REFERENCE = model_zoo.BUNDLED["faithful"].stem


def main() -> None:
    """Print the table; with -o, write what it is made of."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.own_folder", description=__doc__.partition(":")[0]
    )
    parser.add_argument("-o", "--output", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    found = results()
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(options.output, found)
    print(table([found]))


def results() -> dict[str, Any]:
    """What each colorizer makes of the folder's test photographs, as `colorpipe colorize` would, and no color.

    Raises UserError where no colorizer was trained on a folder here.
    """
    params, trained = config.load_params(), own()
    if not trained:
        raise UserError(
            "no colorizer here was trained on a folder: `dvc exp run -S dataset=folder` trains them"
        )
    originals = np.load(files.images_path(DATA, "test")).transpose(0, 2, 3, 1)
    bundled = {path.stem: path for path in model_zoo.BUNDLED.values()}
    rows: dict[str, Mapping[str, float]] = {}
    for name, path in {**bundled, **trained}.items():
        model, size = colorize.load_model(path, "cpu")
        rows[name] = scores(
            np.stack([colorize.colorize(model, image, size) for image in originals]), originals
        )
    rows[GRAY_BASELINE] = scores(
        np.stack([colorize.to_gray(image) for image in originals]), originals
    )
    counts = {
        part: len(np.load(files.images_path(DATA, part), mmap_mode="r"))
        for part in ("train", "val", "test")
    }
    epochs = {
        name: weights.load_metadata(path)["train"]["epochs"] for name, path in trained.items()
    }
    settings = {
        "seed": params.seed,
        "threads": params.threads,
        "images": counts,
        "size": params.data(DATA).size,
        "epochs": epochs,
    }
    original = {"colorfulness": float(metrics.colorfulness(tensor(originals)).mean())}
    return {
        **settings,
        "rows": {**rows, ORIGINAL: original},
        "commit": machine.find_commit(),
        **machine.describe_machine(),
    }


def load(folder: Path) -> list[dict[str, Any]]:
    """The results in a folder, a file a seed."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def table(found: Sequence[dict[str, Any]]) -> str:
    """Means over seeds, standard deviations, and paired differences to REFERENCE with their 95% t-intervals."""
    return to_markdown(pd.DataFrame(row(name, found) for name in found[0]["rows"]))


def row(name: str, found: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A colorizer's scores over the seeds."""
    several, cells = len(found) > 1, {"colorizer": name}
    for column, (key, digits) in SCORES.items():
        values = [one["rows"][name][key] for one in found if key in one["rows"][name]]
        spread = f" ± {stdev(values):.{digits}f}" if values and several else ""
        cells[column] = f"{mean(values):.{digits}f}{spread}" if values else ""
        if key == "mse" and values and name != REFERENCE:
            differences = [
                value - one["rows"][REFERENCE][key]
                for value, one in zip(values, found, strict=True)
            ]
            half = f" ± {interval(differences)[1]:.0f}" if several else ""
            cells[f"{column}, to {REFERENCE}"] = f"{mean(differences):+.0f}{half}"
        elif key == "mse":
            cells[f"{column}, to {REFERENCE}"] = ""
    return cells


def own() -> dict[str, Path]:
    """The weights of the colorizers that were trained on a folder, by name."""
    found = {
        name: path
        for name, path in model_zoo.find_weights(files.MODELS).items()
        if path.parent != model_zoo.ZOO
    }
    return {
        name: path
        for name, path in found.items()
        if weights.load_metadata(path).get("data") == DATA
    }


def scores(colored: Array, originals: Array) -> dict[str, float]:
    """Means over images (N, H, W, 3) uint8: squared error of ab, PSNR in RGB, colorfulness."""
    rgb, target = tensor(colored), tensor(originals)
    error = (lab.rgb_to_lab(rgb)[:, 1:] - lab.rgb_to_lab(target)[:, 1:]).square()
    found = {
        "mse": error,
        "rgb_psnr": metrics.psnr(rgb, target),
        "colorfulness": metrics.colorfulness(rgb),
    }
    return {name: float(values.mean()) for name, values in found.items()}


def tensor(images: Array) -> torch.Tensor:
    """Images (N, H, W, 3) uint8 as sRGB in 0..1, (N, 3, H, W)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


if __name__ == "__main__":
    run_main(main)
