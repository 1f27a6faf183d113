"""The bundled colorizers beside one trained on a folder of photographs, on the same test photographs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from project import ROOT
from skimage import color

from colorpipe import files, weights
from colorpipe.app import colorize, model_zoo
from colorpipe.models.colorizer import build_colorizer
from colorpipe.runtime.errors import UserError
from experiments import own_folder, tables


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A project whose ResNet was trained on a folder, another on CIFAR-10, and the folder's images."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    torch.manual_seed(0)
    for name, data in (("mine", "folder"), ("other", "cifar10")):
        metadata = {
            "model": "resnet18",
            "settings": {"cut": "layer1"},
            "size": [32, 32],
            "data": data,
            "head": "ab",
        }
        metadata["train"] = {"epochs": 3}
        model = build_colorizer("resnet18", {"cut": "layer1"})
        weights.save(files.checkpoint_path(name, "best"), model.state_dict(), metadata)
    files.images_path("folder", "test").parent.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 32, 32), dtype=np.uint8)
    for part in ("train", "val", "test"):
        np.save(files.images_path("folder", part), images)
    return images.transpose(0, 2, 3, 1)


def test_each_colorizer_as_the_command_uses_it(images, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["own_folder", "-o", "results/mine/0.json"])
    own_folder.main()
    found = json.loads(Path("results/mine/0.json").read_text())
    assert list(found["rows"]) == [
        *(path.stem for path in model_zoo.BUNDLED.values()),
        "mine",
        "gray baseline",
        "original",
    ]
    assert found["images"] == {"train": 9, "val": 9, "test": 9}
    true = color.rgb2lab(images)[..., 1:]
    for name, path in (
        ("mine", files.checkpoint_path("mine", "best")),
        ("unet-cifar10", model_zoo.BUNDLED["faithful"]),
    ):
        model, size = colorize.load_model(path, "cpu")
        colored = np.stack([colorize.colorize(model, image, size) for image in images])
        error = np.square(color.rgb2lab(colored)[..., 1:] - true).mean()
        assert found["rows"][name]["mse"] == pytest.approx(error, rel=1e-3)
    assert found["rows"]["gray baseline"]["mse"] == pytest.approx(np.square(true).mean(), rel=1e-2)
    assert found["rows"]["gray baseline"]["colorfulness"] == 0
    assert "| mine |" in capsys.readouterr().out


def test_the_table_over_seeds(tmp_path):
    for seed, (bundled, mine) in enumerate(((400.0, 310.0), (420.0, 340.0), (380.0, 280.0))):
        rows = {
            name: {"mse": mse, "rgb_psnr": 22.0, "colorfulness": 30.0}
            for name, mse in (("unet-cifar10", bundled), ("mine", mine))
        }
        (tmp_path / f"{seed}.json").write_text(
            json.dumps({"rows": {**rows, "original": {"colorfulness": 51.0}}})
        )
    lines = tables.table("own-folder", tmp_path).splitlines()
    assert lines[2] == "| unet-cifar10 | 400 ± 20 |  | 22.00 ± 0.00 | 30.0 ± 0.0 |"
    assert (
        lines[3] == "| mine | 310 ± 30 | -90 ± 25 | 22.00 ± 0.00 | 30.0 ± 0.0 |"
    )  # 4.303 * 10 / sqrt(3)
    assert lines[4] == "| original |  |  |  | 51.0 ± 0.0 |"


def test_nothing_trained_on_a_folder(images, monkeypatch):
    shutil.rmtree("models/mine")
    monkeypatch.setattr("sys.argv", ["own_folder"])
    with pytest.raises(UserError, match="no colorizer here was trained on a folder"):
        own_folder.main()
