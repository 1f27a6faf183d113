"""The comparison of two colorizers on the same test images."""

import sys

import archives
import numpy as np
import pytest
import torch
from project import ROOT

from colorpipe import files, weights
from colorpipe.color import lab
from colorpipe.models.loading import build_colorizer
from experiments import paired

SETTINGS = {"widths": [8, 16], "blocks": [1, 1]}
METADATA = {"model": "unet", "settings": SETTINGS, "size": [32, 32]}


@pytest.fixture
def images(tmp_path, monkeypatch) -> np.ndarray:
    """Return the test images of a folder with two colorizers. "gray" predicts a = b = 0."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    images = archives.smooth_images(np.random.default_rng(0), 40, 32)
    files.images_path("photos", "test").parent.mkdir(parents=True)
    np.save(files.images_path("photos", "test"), images)
    torch.manual_seed(0)
    model = build_colorizer("unet", SETTINGS)
    weights.save(files.weights_path("gray", "best"), model.state_dict(), METADATA)
    torch.nn.init.constant_(model.decoder.head.bias, 0.1)
    weights.save(files.weights_path("constant", "best"), model.state_dict(), METADATA)
    return images


def test_the_difference_and_its_interval_are_over_the_test_images(images, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["paired", "constant", "gray", "--data", "photos"])
    paired.main()
    ab = lab.rgb_to_lab(lab.uint8_to_float(torch.from_numpy(images)))[:, 1:]
    errors = {
        "constant": (ab - 0.1 * lab.AB_SCALE).square().mean(dim=(1, 2, 3)),
        "gray": ab.square().mean(dim=(1, 2, 3)),
    }
    difference = errors["constant"] - errors["gray"]
    half = 2.0227 * difference.std() / len(images) ** 0.5  # t with 39 degrees of freedom
    assert capsys.readouterr().out.splitlines() == [
        f"constant: ab MSE {errors['constant'].mean():.4g} on 40 test images",
        f"gray: ab MSE {errors['gray'].mean():.4g} on 40 test images",
        f"difference: {difference.mean():+.4g} ± {half:.2g}",
    ]


def test_vividness_changes_only_colorizers_over_the_bins(images):
    torch.manual_seed(0)
    model = build_colorizer("unet", SETTINGS, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    torch.nn.init.normal_(model.log_weights)
    measured = {"mse": 120.0, "colorfulness": 10.0}
    path = [{"alpha": 1.0, "temperature": 1.0}, {"alpha": 0.0, "temperature": 0.2}]
    metadata = {**METADATA, "head": "bins", "vividness": [{**point, **measured} for point in path]}
    weights.save(files.weights_path("bins", "best"), model.state_dict(), metadata)
    stored = torch.from_numpy(images)

    def mean(name: str, vividness: float | None) -> float:
        path = files.weights_path(name, "best")
        return paired.measure_errors(path, stored, vividness).mean()

    assert mean("gray", 0.0) == mean("gray", None)
    assert mean("bins", 0.0) != mean("bins", 1.0)
