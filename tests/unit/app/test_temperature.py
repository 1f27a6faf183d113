"""A colorizer is used at the softmax temperature at which it was tested."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import archives
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from project import ROOT

from colorpipe import config, files, weights
from colorpipe.app import cli, colorize
from colorpipe.color import bins
from colorpipe.data import images
from colorpipe.evaluation import colorizers
from colorpipe.models.colorizer import Colorizer, build_colorizer
from colorpipe.runtime.errors import UserError

SETTINGS = {"widths": [8, 16], "blocks": [1, 1]}
WEIGHTS = files.weights_path("small", "best")
TESTED = 0.7
DEMO = """
from pathlib import Path
import numpy as np
from colorpipe.app import demo, model_zoo
page = demo.build_page(model_zoo.list_colorizers(Path("models")), Path())
(colorize_photograph,) = {function.fn for function in page.fns.values()}
(pair, _), _ = colorize_photograph("photo.png", "small")
np.save("pair.npy", pair)
"""


def train(seed: int, val_loss: float) -> None:
    """Write weights as the training of a color-classification colorizer does."""
    torch.manual_seed(seed)
    model = build_colorizer("unet", SETTINGS, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    metadata = {
        "model": "unet",
        "settings": SETTINGS,
        "head": "bins",
        "start": "random",
        "data": "photos",
        "size": [32, 32],
        "loss": {"name": "color_classification"},
        "train": {"seed": seed},
        "epoch": {"epoch": 2, "val_loss": val_loss},
    }
    weights.save(WEIGHTS, model.state_dict(), metadata)


def evaluate_at(temperature: float) -> None:
    params = config.load_params(ROOT / "params.yaml")
    settings = params.evaluation.model_copy(update={"temperature": temperature})
    params = params.model_copy(update={"evaluation": settings})
    colorizers.evaluate("small", "photos", "color_classification", params)


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> Path:
    """A folder with a colorizer that was tested at 0.7, and with a photograph."""
    root = tmp_path_factory.mktemp("temperature") / "project"
    root.mkdir()
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        files.images_path("photos", "test").parent.mkdir(parents=True)
        for part in ("val", "test"):
            np.save(files.images_path("photos", part), archives.smooth_images(rng, 4, 32))
        np.save(files.labels_path("photos", "test"), np.arange(4))
        np.save(files.prior_path("photos"), archives.PRIOR.numpy())
        for loss in ("color_classification", "lpips"):
            weights.save(files.start_path("photos", loss), {}, {"weights": "random"})
        train(seed=0, val_loss=4.123456789)  # the evaluation has five digits of it
        evaluate_at(TESTED)
        photograph = archives.smooth_images(rng, 1, 40)[0].transpose(1, 2, 0)
        Image.fromarray(photograph).save("photo.png")
    return root


@pytest.fixture
def project(tested, tmp_path, monkeypatch) -> Path:
    root = Path(shutil.copytree(tested, tmp_path / "project"))
    monkeypatch.chdir(root)
    return root


def load(temperature: float | None = None) -> tuple[Colorizer, int]:
    return colorize.load_model(WEIGHTS, "cpu", temperature)


def colorize_at(temperature: float) -> np.ndarray:
    model, size = load(temperature)
    return colorize.colorize(model, images.read(Path("photo.png")).rgb, size)


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["colorpipe", *arguments])
    cli.main()


def test_load_model_uses_the_temperature_of_the_test(project):
    assert TESTED != bins.TEMPERATURE
    assert files.read_json(files.evaluation_path("small"))["temperature"] == TESTED
    assert load()[0].temperature == TESTED
    assert load(0.2)[0].temperature == 0.2


def test_the_command_uses_the_temperature_of_the_test_unless_another_is_given(project, monkeypatch):
    for options, temperature in (((), TESTED), (("--temperature", "0.2"), 0.2)):
        run(
            monkeypatch,
            "colorize",
            "photo.png",
            "-o",
            f"{temperature}.png",
            "--model",
            "small",
            *options,
        )
        assert np.array_equal(images.read(Path(f"{temperature}.png")).rgb, colorize_at(temperature))
    assert not np.array_equal(colorize_at(TESTED), colorize_at(0.2))
    assert not np.array_equal(colorize_at(TESTED), colorize_at(bins.TEMPERATURE))


@pytest.mark.parametrize(
    ("options", "temperature"), [((), TESTED), (("--temperature", "0.2"), 0.2)]
)
def test_the_exported_file_has_the_temperature_of_the_test_unless_another_is_given(
    project, monkeypatch, options, temperature
):
    run(monkeypatch, "export", "-o", "new/small.onnx", "--model", "small", *options)
    L = torch.rand(1, 1, 24, 40) * 100
    (ab,) = onnxruntime.InferenceSession("new/small.onnx").run(["ab"], {"L": L.numpy()})
    with torch.no_grad():
        assert np.abs(ab - load(temperature)[0](L).numpy()).max() < 1e-3
        assert np.abs(ab - load(bins.TEMPERATURE)[0](L).numpy()).max() > 0.1


def test_the_demo_uses_the_temperature_of_the_test(project):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", DEMO], env=environment, check=True)
    gray, preview = np.load("pair.npy")
    assert np.array_equal(gray, colorize.to_gray(images.read(Path("photo.png")).rgb))
    assert np.array_equal(preview, colorize_at(TESTED))
    assert np.array_equal(images.read(Path("photo-small.png")).rgb, preview)


@pytest.mark.parametrize(("seed", "val_loss"), [(1, 4.123456789), (0, 4.0)])
def test_other_weights_than_the_tested_ones_have_the_default(project, seed, val_loss):
    """They were trained again, with another seed or other params, and not tested yet."""
    train(seed, val_loss)
    assert load()[0].temperature == bins.TEMPERATURE
    evaluate_at(0.5)
    assert load()[0].temperature == 0.5


def test_a_copy_of_the_weights_elsewhere_has_the_default(project, tmp_path, monkeypatch):
    shutil.copy(WEIGHTS, "alone.safetensors")
    shutil.copy(WEIGHTS, "best.safetensors")
    for name in ("alone.safetensors", "best.safetensors"):
        assert colorize.load_model(Path(name), "cpu")[0].temperature == bins.TEMPERATURE
    monkeypatch.chdir("models")
    assert colorize.load_model(Path("small/best.safetensors"), "cpu")[0].temperature == TESTED
    monkeypatch.chdir("small")
    assert colorize.load_model(Path("best.safetensors"), "cpu")[0].temperature == TESTED


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_evaluation_is_named(project, content):
    files.evaluation_path("small").write_text(content)
    with pytest.raises(UserError, match=r"evaluations/small\.json is damaged"):
        load()


def test_weights_without_an_epoch_have_the_default(project):
    tensors, metadata = weights.load(WEIGHTS)
    del metadata["epoch"]
    weights.save(WEIGHTS, tensors, metadata)
    assert load()[0].temperature == bins.TEMPERATURE
