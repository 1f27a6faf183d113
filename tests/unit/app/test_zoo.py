"""Putting a trained colorizer into the package, in half precision and with a model card."""

import io

import numpy as np
import pytest
import torch
from archives import PRIOR

from colorpipe import files, weights
from colorpipe.app import colorize
from colorpipe.evaluation import measure
from colorpipe.losses import lpips, mse
from colorpipe.models.colorizer import build_colorizer, load_colorizer
from experiments import tables, zoo


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A bundled colorizer, made of one that an experiment trained, and that one's images."""
    settings = {"cut": "layer1"}
    torch.manual_seed(0)
    train = {
        "seed": 0,
        "lr": 0.001,
        "batch_size": 64,
        "precision": "float32",
        "epochs": 2,
        "flips": True,
    }
    train |= {"optimizer": "adamw", "schedule": "one_cycle", "ema": 0.999, "shifts": 4}
    metadata = {
        "model": "resnet18",
        "settings": settings,
        "size": [32, 32],
        "data": "cifar10",
        "loss": {"name": "mse"},
        "head": "ab",
    }
    metadata |= {"train": train, "epoch": {"epoch": 2, "val_loss": 5.0}, "init": "random"}
    weights.save(tmp_path / "best", build_colorizer("resnet18", settings).state_dict(), metadata)
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 32, 32), dtype=np.uint8)
    file = io.BytesIO()
    np.save(file, images)
    contents = {
        files.checkpoint_path("resnet", "best"): (tmp_path / "best").read_bytes(),
        files.images_path("cifar10", "test"): file.getvalue(),
    }
    monkeypatch.setattr(zoo, "read", lambda path, experiment: contents[path])
    monkeypatch.setattr(zoo, "commit_of", lambda experiment: "0123456789abcdef")
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    monkeypatch.setattr(
        "sys.argv",
        [
            "zoo",
            "some-exp",
            "resnet",
            "tiny",
            "--images",
            "a copy of CIFAR-10",
            "--colorize-size",
            "48",
        ],
    )
    zoo.main()
    return tmp_path / "tiny.safetensors", images


def test_a_bundled_colorizer_is_stored_in_half_and_used_in_full(stored, tmp_path):
    path, _ = stored
    assert path.stat().st_size < 0.6 * (tmp_path / "best").stat().st_size
    model, size = colorize.load_model(path, "cpu")
    assert size == 48
    original, _ = load_colorizer(tmp_path / "best", torch.device("cpu"))
    L = torch.rand(1, 1, 32, 32) * 100
    with torch.no_grad():
        torch.testing.assert_close(model(L), original(L), atol=0.5, rtol=0.01)


def test_its_card_has_the_metrics_of_the_stored_weights(stored):
    path, images = stored
    model, metadata = load_colorizer(path, torch.device("cpu"))
    distance = lpips.build({}, {"weights": "random", "random_seed": 0}, PRIOR)
    test = torch.from_numpy(images)
    found = measure.measure(model, mse.build({}, {}, PRIOR), distance, test).means
    assert metadata["test"] == {"n": 70, **found}
    assert metadata["no_color"]["mse"] > 0
    assert metadata["commit"] == "0123456"
    card = tables.model_card(path)
    assert f"| test set, n = 70 | {found['mse']:.4g} |" in card
    assert (
        "| trained on | a copy of CIFAR-10, at 32 pixels a side; flips: True, shifts: 4 |" in card
    )


def test_an_experiment_that_is_not_there_is_named():
    with pytest.raises(
        zoo.UserError, match="there is no experiment no-such: `dvc exp list` shows them"
    ):
        zoo.commit_of("no-such")
