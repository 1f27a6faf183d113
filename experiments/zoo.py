"""Put a colorizer of a DVC experiment into the package, in float16, tested as it is stored: python -m experiments.zoo -h."""

import argparse
import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from dvc import api

from colorpipe import config, files, weights
from colorpipe.app.model_zoo import ZOO
from colorpipe.color import bins
from colorpipe.evaluation import measure
from colorpipe.losses import lpips, mse
from colorpipe.models.colorizer import load_colorizer
from colorpipe.runtime import machine
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from colorpipe.training import devices


def main() -> None:
    """Write colorpipe/app/zoo/<name>.safetensors; `make tables` shows what is in it on its model card."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.zoo", description=__doc__.partition(":")[0]
    )
    parser.add_argument("experiment", help="its name, as `dvc exp list` shows it")
    parser.add_argument("row", help="a row of the table in dvc.yaml that it trained")
    parser.add_argument("name", help="of the colorizer in the package")
    parser.add_argument(
        "--images", required=True, help="where the images come from, for the model card"
    )
    parser.add_argument(
        "--colorize-size",
        required=True,
        type=int,
        help="pixels a side at which to colorize photographs",
    )
    parser.add_argument(
        "--temperature", type=float, help="of a head over the 313 bins, at which it is decoded"
    )
    options = parser.parse_args()

    path = ZOO / f"{options.name}.safetensors"
    commit = commit_of(options.experiment)
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / path.name
        stored.write_bytes(read(files.checkpoint_path(options.row, "best"), options.experiment))
        tensors, metadata = weights.load(stored)
        if (metadata["head"] == "bins") != (options.temperature is not None):
            raise UserError(
                f"{options.row}: --temperature is of a head over the 313 bins, and its head is {metadata['head']}"
            )
        if options.temperature:
            metadata["temperature"] = options.temperature
        halves = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
        weights.save(stored, halves, metadata)  # then as others load it
        metadata |= test(stored, options.experiment, metadata["data"])
    metadata |= {
        "images": options.images,
        "colorize_size": [options.colorize_size] * 2,
        "commit": commit[:7],
        **{
            key: value
            for key, value in machine.describe_machine().items()
            if key in ("hardware", "torch")
        },
    }
    weights.save(path, halves, metadata)


def read(path: Path, experiment: str) -> bytes:
    """A file of an experiment, from git or DVC's cache."""
    content: bytes = api.read(str(path), rev=experiment, mode="rb")
    return content


def commit_of(experiment: str) -> str:
    """The hash of the commit that an experiment was run from, which its git reference holds."""
    references = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname)", "refs/exps"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for reference in references:
        *_, start, rest, name = reference.split("/")
        if name == experiment:
            return start + rest
    raise UserError(f"there is no experiment {experiment}: `dvc exp list` shows them")


def test(path: Path, experiment: str, data: str) -> dict[str, object]:
    """The metrics of the stored weights and of no color, on the experiment's test set."""
    device = devices.prepare(0, config.load_params().threads)
    model, _ = load_colorizer(path, device)
    images = torch.from_numpy(
        np.load(io.BytesIO(read(files.images_path(data, "test"), experiment)))
    ).to(device)
    prior = torch.full((bins.COUNT,), 1 / bins.COUNT)  # of no use to these losses
    distance = lpips.build({}, {"weights": "random", "random_seed": 0}, prior).to(device)
    found, gray = (
        measure.measure(one, mse.build({}, {}, prior), distance, images).means
        for one in (model, measure.GrayBaseline())
    )
    return {"test": {"n": len(images), **found}, "no_color": gray}


if __name__ == "__main__":
    run_main(main)
