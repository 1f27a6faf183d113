"""The tool that writes the bundled weight file."""

import pytest
import torch

from colorpipe import files, weights
from colorpipe.app import colorize, model_zoo
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError
from experiments.bundle import bundle

SETTINGS = {"widths": [8, 16], "blocks": [1, 1]}
PATH = [
    {"alpha": 1.0, "temperature": 1.0, "mse": 120.0, "colorfulness": 10.0},
    {"alpha": 0.0, "temperature": 0.38, "mse": 150.0, "colorfulness": 30.0},
]
EVALUATION = {
    "data": "photos",
    "seed": 0,
    "best_epoch": 2,
    "val_loss": 4.0,
    "alpha": 0.5,
    "temperature": 0.7,
    "vividness": PATH,
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in a folder with a tested colorizer, and write the bundled file there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "BUNDLED_PATH", tmp_path / "package/bundled.safetensors")
    torch.manual_seed(0)
    model = build_colorizer("unet", SETTINGS, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    metadata = {
        "model": "unet",
        "settings": SETTINGS,
        "head": "bins",
        "data": "photos",
        "size": [32, 32],
        "loss": {"name": "color_classification"},
        "train": {"seed": 0},
        "epoch": {"epoch": 2, "val_loss": 4.0},
    }
    weights.save(files.weights_path("small", "best"), model.state_dict(), metadata)
    files.write_json(files.evaluation_path("small"), EVALUATION)
    metrics = {"test": {"mse": 130.0, "ssim": 0.3, "psnr": 21.0}}
    files.write_json(files.metrics_path("small"), metrics)
    gray_metrics = {"test": {"mse": 190.0, "ssim": 0.2, "psnr": 20.0}}
    files.write_json(files.metrics_path("baseline/gray"), gray_metrics)
    files.write_json(files.evaluation_path("baseline/gray"), {"data": "photos"})


def test_the_file_has_the_weights_in_float16_the_decodings_and_the_metrics(tmp_path):
    bundle("small", 48)
    original, _ = weights.load(files.weights_path("small", "best"))
    tensors, metadata = weights.load(weights.BUNDLED_PATH)
    assert tensors.keys() == original.keys()
    for name, tensor in original.items():
        rounded = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(tensors[name], rounded)
    size = weights.BUNDLED_PATH.stat().st_size
    assert size < 0.6 * files.weights_path("small", "best").stat().st_size
    assert {key: metadata[key] for key in ("alpha", "temperature", "vividness")} == {
        "alpha": 0.5,
        "temperature": 0.7,
        "vividness": PATH,
    }
    model, seen = colorize.load_model(weights.BUNDLED_PATH, "cpu")
    assert (model.alpha, model.temperature, seen) == (0.5, 0.7, 48)
    model, _ = colorize.load_model(weights.BUNDLED_PATH, "cpu", vividness=1)
    assert (model.alpha, model.temperature) == (0.0, 0.38)
    row = model_zoo.format_table(tmp_path / "models").splitlines()[-1]
    assert row.split()[0] == "bundled"
    assert row.split()[-4:] == ["130", "0.300", "21.00", "190"]


def test_a_colorizer_without_a_test_a_path_or_a_baseline_is_named():
    files.write_json(files.evaluation_path("small"), {**EVALUATION, "val_loss": 5.0})
    with pytest.raises(
        UserError, match="small has not been evaluated: run `dvc repro evaluate@small"
    ):
        bundle("small", 48)
    without_path = {key: value for key, value in EVALUATION.items() if key != "vividness"}
    files.write_json(files.evaluation_path("small"), without_path)
    with pytest.raises(UserError, match="small does not classify over the color bins"):
        bundle("small", 48)
    files.write_json(files.evaluation_path("small"), EVALUATION)
    files.write_json(files.evaluation_path("baseline/gray"), {"data": "photos", "n": 9})
    with pytest.raises(
        UserError,
        match="the gray baseline has not been evaluated on the same images: run `dvc repro",
    ):
        bundle("small", 48)
    assert not weights.BUNDLED_PATH.exists()


def test_a_weight_that_float16_cannot_hold_leaves_the_old_file():
    bundle("small", 48)
    before = weights.BUNDLED_PATH.read_bytes()
    path = files.weights_path("small", "best")
    tensors, metadata = weights.load(path)
    tensors["decoder.head.weight"] *= 1e6
    weights.save(path, tensors, metadata)
    with pytest.raises(UserError, match=r"decoder\.head\.weight is too large for float16"):
        bundle("small", 48)
    assert weights.BUNDLED_PATH.read_bytes() == before
