"""A colorizer is decoded as it was tested, or with a vividness from faithful to vivid."""

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
from colorpipe.app import cli, colorize, decoding
from colorpipe.color import bins
from colorpipe.data import images
from colorpipe.evaluation import colorizers
from colorpipe.evaluation.vividness import Decoding
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError

SETTINGS = {"widths": [8, 16], "blocks": [1, 1]}
WEIGHTS = files.weights_path("small", "best")
TESTED = (0.5, 0.7)  # alpha and temperature
DEFAULT = (0.0, bins.TEMPERATURE)
PATH = [
    {"alpha": 1.0, "temperature": 1.0, "mse": 120.0, "colorfulness": 10.0},
    {"alpha": 0.5, "temperature": 0.7, "mse": 130.0, "colorfulness": 20.0},
    {"alpha": 0.0, "temperature": 0.2, "mse": 150.0, "colorfulness": 30.0},
]
DEMO = """
from pathlib import Path
import numpy as np
from colorpipe.app import demo, model_zoo
page = demo.build_page(model_zoo.list_colorizers(Path("models")), Path())
(colorize_photograph,) = {function.fn for function in page.fns.values()}
(_, _, slider), (tested, _, _), _ = colorize_photograph("photo.png", "small")
(vivid, _, _), _ = colorize_photograph("photo.png", "small", 1)
(_, _, hidden), (no_path, _, _), _ = colorize_photograph("photo.png", "alone")
(moved, _, _), _ = colorize_photograph("photo.png", "alone", 0.3)
assert (slider.visible, slider.value, hidden.visible) == (True, 0.5, False)
np.savez("demo.npz", tested=tested, vivid=vivid, no_path=no_path, moved=moved)
"""


def train(seed: int, val_loss: float) -> None:
    """Write weights as the training of a color-classification colorizer does."""
    torch.manual_seed(seed)
    model = build_colorizer("unet", SETTINGS, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    torch.nn.init.normal_(model.log_weights)
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


def evaluate_at(alpha: float, temperature: float) -> None:
    params = config.load_params(ROOT / "params.yaml")
    changes = {"alpha": alpha, "temperature": temperature, "alphas": [0.0], "temperatures": [1.0]}
    settings = params.evaluation.model_copy(update=changes)
    params = params.model_copy(update={"evaluation": settings})
    colorizers.evaluate("small", "photos", "color_classification", params)


def write_path(path: object) -> None:
    """Replace the path from faithful to vivid that the evaluation found."""
    evaluation = files.read_json(files.evaluation_path("small"))
    files.write_json(files.evaluation_path("small"), {**evaluation, "vividness": path})


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> Path:
    """A folder with a colorizer that was tested, and with a photograph."""
    root = tmp_path_factory.mktemp("vividness") / "project"
    root.mkdir()
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        files.images_path("photos", "test").parent.mkdir(parents=True)
        for part in ("val", "test"):
            np.save(files.images_path("photos", part), archives.smooth_images(rng, 4, 32))
        np.save(files.labels_path("photos", "test"), np.arange(4))
        np.save(files.colors_path("photos"), archives.COLORS.numpy())
        for loss in ("color_classification", "lpips"):
            weights.save(files.start_path("photos", loss), {}, {"weights": "random"})
        train(seed=0, val_loss=4.123456789)  # the evaluation keeps five digits
        evaluate_at(*TESTED)
        write_path(PATH)
        photograph = archives.smooth_images(rng, 1, 40)[0].transpose(1, 2, 0)
        Image.fromarray(photograph).save("photo.png")
    return root


@pytest.fixture
def project(tested, tmp_path, monkeypatch) -> Path:
    root = Path(shutil.copytree(tested, tmp_path / "project"))
    monkeypatch.chdir(root)
    return root


def load(vividness: float | None = None, path: Path = WEIGHTS) -> Colorizer:
    return colorize.load_model(path, "cpu", vividness)[0]


def load_decoding(vividness: float | None = None, path: Path = WEIGHTS) -> tuple[float, float]:
    model = load(vividness, path)
    return model.alpha, model.temperature


def colorize_with(vividness: float | None, path: Path = WEIGHTS) -> np.ndarray:
    model, size = colorize.load_model(path, "cpu", vividness)
    return colorize.colorize(model, images.read(Path("photo.png")).rgb, size)


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["colorpipe", *arguments])
    cli.main()


def read_error(capsys, monkeypatch, *arguments: str) -> str:
    """Return what the command prints when it fails."""
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, "colorize", "photo.png", "-o", "new.png", *arguments)
    printed = stopped.value.code if isinstance(stopped.value.code, str) else ""
    return printed + capsys.readouterr().err


def test_the_default_decoding_is_that_of_the_test(project):
    assert TESTED != DEFAULT
    evaluation = files.read_json(files.evaluation_path("small"))
    assert (evaluation["alpha"], evaluation["temperature"]) == TESTED
    assert load_decoding() == TESTED


def test_a_vividness_is_a_point_of_the_path_or_between_two_points(project):
    assert load_decoding(0) == (1.0, 1.0)
    assert load_decoding(0.5) == TESTED
    assert load_decoding(1) == (0.0, 0.2)
    assert load_decoding(0.75) == pytest.approx((0.25, 0.45))


@pytest.mark.parametrize(("options", "vividness"), [((), None), (("--vividness", "0.9"), 0.9)])
def test_the_command_uses_the_decoding(project, monkeypatch, options, vividness):
    run(monkeypatch, "colorize", "photo.png", "-o", "new.png", "--model", "small", *options)
    written = images.read(Path("new.png")).rgb
    assert np.array_equal(written, colorize_with(vividness))
    assert not np.array_equal(written, colorize_with(0))


@pytest.mark.parametrize(("options", "vividness"), [((), None), (("--vividness", "0.9"), 0.9)])
def test_the_exported_file_has_the_decoding(project, monkeypatch, options, vividness):
    run(monkeypatch, "export", "-o", "new/small.onnx", "--model", "small", *options)
    L = torch.rand(1, 1, 24, 40) * 100
    (ab,) = onnxruntime.InferenceSession("new/small.onnx").run(["ab"], {"L": L.numpy()})
    with torch.no_grad():
        assert np.abs(ab - load(vividness)(L).ab.numpy()).max() < 1e-3
        assert np.abs(ab - load(0)(L).ab.numpy()).max() > 0.1


def test_the_demo_starts_with_the_tested_decoding_and_has_a_slider(project):
    alone = files.weights_path("alone", "best")
    alone.parent.mkdir()
    shutil.copy(WEIGHTS, alone)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", DEMO], env=environment, check=True)
    pairs = np.load("demo.npz")
    assert np.array_equal(pairs["tested"][0], colorize.to_gray(images.read(Path("photo.png")).rgb))
    assert np.array_equal(pairs["tested"][1], colorize_with(None))
    assert np.array_equal(pairs["vivid"][1], colorize_with(1))
    no_path = colorize_with(None, files.weights_path("alone", "best"))
    assert np.array_equal(pairs["no_path"][1], no_path)
    assert np.array_equal(pairs["moved"][1], no_path)
    assert np.array_equal(images.read(Path("photo-alone.png")).rgb, no_path)
    assert not Path("photo-small.png").exists()  # only the last download is kept


@pytest.mark.parametrize(("seed", "val_loss"), [(1, 4.123456789), (0, 4.0)])
def test_untested_weights_have_the_default_decoding(project, seed, val_loss):
    """The colorizer was trained again with another seed or other params, and not evaluated yet."""
    train(seed, val_loss)
    assert load_decoding() == DEFAULT
    with pytest.raises(UserError, match="small was not evaluated"):
        load(0.5)
    evaluate_at(0.25, 0.5)
    assert load_decoding() == (0.25, 0.5)
    load(0.5)


def test_a_copy_of_the_weights_has_the_default_decoding(project, tmp_path, monkeypatch):
    shutil.copy(WEIGHTS, "alone.safetensors")
    shutil.copy(WEIGHTS, "best.safetensors")
    for name in ("alone.safetensors", "best.safetensors"):
        assert load_decoding(path=Path(name)) == DEFAULT
        with pytest.raises(UserError, match="decodings from faithful to vivid: use a colorizer"):
            load(0.5, Path(name))
    monkeypatch.chdir("models")
    assert load_decoding(path=Path("small/best.safetensors")) == TESTED
    monkeypatch.chdir("small")
    assert load_decoding(path=Path("best.safetensors")) == TESTED
    assert load_decoding(1, Path("best.safetensors")) == (0.0, 0.2)


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_evaluation_is_named(project, content):
    files.evaluation_path("small").write_text(content)
    with pytest.raises(UserError, match=r"evaluations/small\.json is damaged"):
        load()


@pytest.mark.parametrize("path", [None, [], 5, [5], [{}], [{"alpha": "x"}]])
def test_a_damaged_path_is_ignored(project, path):
    write_path(path)
    assert load_decoding() == TESTED
    with pytest.raises(
        UserError, match="small was not evaluated with decodings from faithful to vivid"
    ):
        load(0.5)


def test_weights_without_an_epoch_have_the_default_decoding(project):
    tensors, metadata = weights.load(WEIGHTS)
    del metadata["epoch"]
    weights.save(WEIGHTS, tensors, metadata)
    assert load_decoding() == DEFAULT


def test_a_weight_file_may_carry_its_decoding_and_its_path(project):
    tensors, metadata = weights.load(WEIGHTS)
    carried = {"alpha": 0.25, "temperature": 0.5, "vividness": PATH}
    weights.save(Path("bundled.safetensors"), tensors, {**metadata, **carried})
    assert load_decoding(path=Path("bundled.safetensors")) == (0.25, 0.5)
    assert load_decoding(1, Path("bundled.safetensors")) == (0.0, 0.2)


def test_an_unusable_vividness_is_reported_in_one_line(project, monkeypatch, capsys):
    def error(model: str, vividness: str = "0.5") -> str:
        options = ("--model", model, "--vividness", vividness)
        return read_error(capsys, monkeypatch, *options)

    tensors = build_colorizer("unet", SETTINGS).state_dict()
    metadata = {"model": "unet", "settings": SETTINGS, "size": [32, 32]}
    weights.save(Path("faithful.safetensors"), tensors, metadata)
    expected = (
        "error: --vividness: faithful does not classify over the color bins: leave the option out, "
        "or use a --model whose loss is color_classification in `colorpipe models`"
    )
    assert error("faithful.safetensors").strip() == expected
    no_path = "was not evaluated with decodings from faithful to vivid"
    elsewhere = "use a colorizer in models/ that `dvc repro` has evaluated, or leave the option out"
    shutil.copy(WEIGHTS, "alone.safetensors")
    expected = f"error: --vividness: alone {no_path}: {elsewhere}"
    assert error("alone.safetensors").strip() == expected
    files.evaluation_path("small").unlink()
    here = "run `dvc repro evaluate@small`, or leave the option out"
    assert error("small").strip() == f"error: --vividness: small {no_path}: {here}"
    assert "use a number from 0 to 1, not 1.5" in error("small", "1.5")


def test_the_vividness_of_a_decoding_is_that_of_the_nearest_point():
    path = [Decoding(**point) for point in PATH]
    assert [decoding.find_vividness(path, tested) for tested in (TESTED, (0.9, 1.0))] == [0.5, 0]
