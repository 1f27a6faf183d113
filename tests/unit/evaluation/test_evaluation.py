"""A colorizer's metrics, compared with scikit-image and torchmetrics."""

import base64
import io
import json
import math
import os
import shutil
import subprocess
import sys

import archives
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from project import ROOT
from skimage import color as skimage_color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from colorpipe import config, files, metrics, weights
from colorpipe.color import bins
from colorpipe.evaluation import colorizers, grids
from colorpipe.evaluation.measure import EvaluationBatch, measure
from colorpipe.evaluation.table import METRICS
from colorpipe.inference import Colorized
from colorpipe.losses.color_classification import ColorClassification
from colorpipe.losses.lpips import LPIPS
from colorpipe.losses.mse import MSE
from colorpipe.models.colorizer import Prediction
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError
from colorpipe.training import colorization
from colorpipe.training.colorization import ColorizerEntry

N = 70  # a batch of 64 and a short one
CUT = {"cut": "layer1"}
UNET = {"widths": [8, 16], "blocks": [1, 1]}
TRACKED = {metric.key for metric in METRICS if metric.tracked} - {"top1"}
UNTRACKED = {metric.key for metric in METRICS if not metric.tracked}
BASELINE = """
import sys
sys.argv = ["stages.baseline", "gray", "--data", "photos", "--loss", "mse"]
from stages import baseline
baseline.main()
print(*(name for name in sys.modules if name.startswith("colorpipe.training")), sep=",")
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    files.images_path("photos", "test").parent.mkdir(parents=True)
    arrays = {
        part: archives.smooth_images(rng, count, 32)
        for part, count in (("train", 40), ("val", 16), ("test", N))
    }
    for part, array in arrays.items():
        np.save(files.images_path("photos", part), array)
    np.save(files.labels_path("photos", "test"), np.arange(N) % 7)
    np.save(files.colors_path("photos"), archives.COLORS.numpy())
    for name in ("mse", "color_classification", "lpips", "resnet18"):
        weights.save(files.start_path("photos", name), {}, {"weights": "random"})
    torch.manual_seed(1)
    return arrays


def save_colorizer(head: str, **changes: torch.Tensor) -> config.Params:
    """Write the weights of the untrained colorizer "some", and return the params."""
    torch.manual_seed(0)
    model = build_colorizer("unet", UNET, head)
    torch.nn.init.normal_(model.decoder.head.weight)
    metadata = {"model": "unet", "settings": UNET, "head": head, "start": "random"}
    metadata |= {"train": {"seed": 0}, "epoch": {"epoch": 4, "val_loss": 150.5}}
    tensors = {**model.state_dict(), **changes}
    weights.save(files.weights_path("some", "best"), tensors, metadata)
    return config.load_params(ROOT / "params.yaml")


def load_strictly(path) -> dict:
    """Return the content of a JSON file, which must not have NaN or Infinity."""

    def refuse(constant: str):
        raise AssertionError(f"{path} has {constant}")

    return json.loads(path.read_text(), parse_constant=refuse)


def flatten(content: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in content.items():
        flat |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def compute_expected(predicted: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Return the metrics of predicted ab of shape (N, 2, H, W), computed without colorpipe."""
    rgb = images.transpose(0, 2, 3, 1) / 255
    lab = skimage_color.rgb2lab(rgb)
    ab = lab[..., 1:].transpose(0, 3, 1, 2)
    rendered = skimage_color.lab2rgb(
        np.concatenate([lab[..., :1], predicted.transpose(0, 2, 3, 1)], axis=-1)
    )
    ssim = psnr = 0.0
    for start in range(0, len(ab), 64):
        ours, true = (
            torch.from_numpy(np.ascontiguousarray(x[start : start + 64])).double()
            for x in (predicted, ab)
        )
        ssim += structural_similarity_index_measure(ours, true).item() * len(ours)
        data_range = (true.max() - true.min()).item()
        psnr += (
            20 * np.log10(data_range) - 10 * np.log10(((ours - true) ** 2).mean().item())
        ) * len(ours)
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1,
        "channel_axis": 2,
    }
    return {
        "test.loss": ((predicted - ab) ** 2).mean(),
        "test.ssim": ssim / len(ab),
        "test.psnr": psnr / len(ab),
        "rgb.ssim": np.mean(
            [structural_similarity(a, b, **options) for a, b in zip(rgb, rendered, strict=True)]
        ),
        "rgb.psnr": np.mean(
            [
                peak_signal_noise_ratio(a, b, data_range=1)
                for a, b in zip(rgb, rendered, strict=True)
            ]
        ),
    }


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_metrics_equal_scikit_image_and_torchmetrics(images):
    torch.manual_seed(0)
    model = build_colorizer("resnet18", CUT).eval()
    metadata = {"model": "resnet18", "settings": CUT, "start": "random", "train": {"seed": 0}}
    metadata["epoch"] = {"epoch": 4, "val_loss": 150.5}
    weights.save(files.weights_path("some", "best"), model.state_dict(), metadata)
    params = config.load_params(ROOT / "params.yaml")
    colorizers.evaluate("some", "photos", "mse", params)
    colorizers.evaluate_baseline("gray", "photos", "mse", params)

    L = skimage_color.rgb2lab(images["test"].transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2)
    with torch.no_grad():
        predicted = model(torch.from_numpy(L).float()).ab.numpy()
    for name, ab in (("some", predicted), ("baseline/gray", np.zeros_like(predicted))):
        tracked = flatten(load_strictly(files.metrics_path(name)))
        run = load_strictly(files.evaluation_path(name))
        for key, value in compute_expected(ab, images["test"]).items():
            written = {**tracked, **flatten(run)}[key]
            assert written == pytest.approx(value, rel=1e-3), (name, key)
        assert tracked["test.mse"] == tracked["test.loss"]
    assert tracked["colorfulness"] == pytest.approx(0, abs=0.5)  # gray
    run = json.loads(files.evaluation_path("some").read_text())
    assert run.pop("baseline_loss") == tracked["test.loss"]  # `tracked` is the baseline's
    identity = {
        "data": "photos",
        "n": N,
        "seed": 0,
        "start": "random",
        "best_epoch": 4,
        "val_loss": 150.5,
        "loss": "mse",
        "lpips_vgg": "random",
    }
    sections = {key.partition(".")[0] for key in UNTRACKED}
    assert {key: value for key, value in run.items() if key not in sections} == identity
    baseline = json.loads(files.evaluation_path("baseline/gray").read_text())
    assert baseline.pop("original_colorfulness") > 1
    baseline = {key: value for key, value in baseline.items() if key not in sections}
    assert baseline == {"data": "photos", "n": N, "loss": "mse", "lpips_vgg": "random"}
    assert files.grid_path("some").is_file()


def test_large_images_are_shrunk_for_the_page(images, monkeypatch):
    monkeypatch.setattr(grids, "MAX_SIDE", 16)
    colorizers.evaluate("some", "photos", "mse", save_colorizer("ab"))
    shown = json.loads(files.gallery_path("some").read_text())["images"]
    assert {
        Image.open(io.BytesIO(base64.b64decode(image[name]))).size
        for image in shown.values()
        for name in ("predicted", "original")
    } == {(16, 16)}
    assert grids.read_images(files.grid_path("some"))["original"][0].shape == (16, 16, 3)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_baseline_has_the_loss_of_uniform_logits_at_the_colorizers_resolution(images, scale):
    """The loss is log 313 times the weight of the nearest bin, at the logits' resolution."""

    class Model(torch.nn.Module):
        def forward(self, L: torch.Tensor) -> Prediction:
            logits = torch.randn(len(L), bins.COUNT, 32 // scale, 32 // scale)
            return Prediction(torch.randn(len(L), 2, 32, 32), logits)

    loss = ColorClassification(bins.SoftEncoding(5, 5.0), torch.linspace(0.5, 2, bins.COUNT))
    lpips = LPIPS(0, "random")
    values = measure(Model(), loss, lpips, torch.from_numpy(images["val"])).metrics
    ab = skimage_color.rgb2lab(images["val"].transpose(0, 2, 3, 1))[..., 1:]
    averaged = ab.reshape(len(ab), 32 // scale, scale, 32 // scale, scale, 2).mean(axis=(2, 4))
    nearest = (
        np.square(averaged[..., None, :] - bins.centers().numpy()).sum(axis=-1).argmin(axis=-1)
    )
    assert values["baseline_loss"] == pytest.approx(
        math.log(313) * loss.weights.numpy()[nearest].mean(), rel=1e-3
    )
    assert values["test.loss"] > values["baseline_loss"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # the last three images of each class
        ([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2], [0, 1, 2, 3, 4, 5, 8, 9, 10]),
        (list(range(12)) * 2, list(range(12, 22))),  # the last image of each of ten classes
        ([0] * 19, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),  # evenly spaced without classes
        ([0] * 3, [0, 1, 2]),
    ],
)
def test_the_grid_has_images_of_different_classes(labels, expected):
    assert colorizers.choose_examples(torch.tensor(labels)) == expected


def test_the_curves_ssim_and_psnr_are_those_of_the_test(images):
    """Compare the functions of the training curves with torchmetrics, which the test uses."""
    torch.manual_seed(0)
    target = torch.randn(5, 2, 32, 32) * 20
    predicted = target + torch.randn_like(target) * 5
    lab = torch.cat((torch.full((5, 1, 32, 32), 50.0), target), dim=1)
    colorized = Colorized(torch.rand(5, 3, 32, 32), lab, Prediction(predicted))
    batch = EvaluationBatch(colorized, MSE(), LPIPS(0, "random"))
    assert metrics.batch_ssim(predicted, target).item() == pytest.approx(
        batch.compute_ab_ssim().item(), abs=1e-6
    )
    assert metrics.batch_psnr(predicted, target).item() == pytest.approx(
        batch.compute_ab_psnr().item(), abs=1e-4
    )


def test_training_starts_from_imagenet_weights_and_records_its_settings(images):
    """With a tiny learning rate, the final weights equal the initial ones."""
    torch.manual_seed(5)
    source = torchvision.models.resnet18().state_dict()
    start = files.start_path("photos", "resnet18")
    weights.save(start, source, {"weights": "imagenet"})
    params = config.load_params(ROOT / "params.yaml")
    params = params.model_copy(
        update={"train": params.train.model_copy(update={"lr": 1e-12, "precision": "float32"})}
    )
    colorization.train("some", ColorizerEntry("resnet18", "photos", "mse", "train", start), params)
    tensors, metadata = weights.load(files.weights_path("some", "best"))
    assert metadata["start"] == "imagenet"
    assert metadata["train"]["lr"] == 1e-12
    assert torch.allclose(
        tensors["encoder.layer1.0.conv1.weight"], source["layer1.0.conv1.weight"], atol=1e-6
    )
    assert torch.allclose(
        tensors["encoder.conv1.weight"], source["conv1.weight"].sum(dim=1, keepdim=True), atol=1e-6
    )
    curves = files.curves_path("some").read_text().splitlines()
    assert len(curves) == 1 + params.data("photos").epochs


def test_every_metric_is_in_the_file_that_the_table_names(images):
    params = save_colorizer("bins")
    colorizers.evaluate("some", "photos", "color_classification", params)
    colorizers.evaluate_baseline("gray", "photos", "mse", params)
    for name in ("some", "baseline/gray"):
        tracked = flatten(load_strictly(files.metrics_path(name)))
        others = flatten(load_strictly(files.evaluation_path(name)))
        assert tracked.keys() == TRACKED
        assert others.keys() >= UNTRACKED
        assert not others.keys() & TRACKED
        values = {**tracked, **{key: others[key] for key in UNTRACKED}}
        assert all(isinstance(value, float) for value in values.values()), name
        assert all(value == float(f"{value:.5g}") for value in values.values()), name
    run = load_strictly(files.evaluation_path("some"))
    assert (run["alpha"], run["temperature"]) == (0, 0.38)
    settings = params.evaluation
    assert len(run["decodings"]) == len(settings.alphas) * len(settings.temperatures)
    assert len(run["vividness"]) == len(run["test_vividness"]) == 5


def test_the_metrics_have_the_decoding_of_the_params(images):
    """If the validation images are tested, the test MSE is that of the same decoding."""
    np.save(files.images_path("photos", "test"), images["val"])
    np.save(files.labels_path("photos", "test"), np.zeros(len(images["val"]), np.int64))
    params = save_colorizer("bins")
    evaluation = params.evaluation.model_copy(update={"alpha": 0.5, "temperature": 0.7})
    params = params.model_copy(update={"evaluation": evaluation})
    colorizers.evaluate("some", "photos", "color_classification", params)
    (decoding,) = (
        decoding
        for decoding in load_strictly(files.evaluation_path("some"))["decodings"]
        if (decoding["alpha"], decoding["temperature"]) == (0.5, 0.7)
    )
    mse = load_strictly(files.metrics_path("some"))["test"]["mse"]
    assert mse == pytest.approx(decoding["mse"], rel=1e-4)


def test_a_metric_that_is_not_finite_is_null(images):
    """The ab of black images has no range. PSNR is the logarithm of 0, and SSIM may be 0 / 0."""
    for part in ("val", "test"):
        np.save(files.images_path("photos", part), np.zeros_like(images[part]))
    params = save_colorizer("bins")
    colorizers.evaluate("some", "photos", "color_classification", params)
    colorizers.evaluate_baseline("gray", "photos", "mse", params)
    for name in ("some", "baseline/gray"):
        tracked = load_strictly(files.metrics_path(name))
        assert tracked["test"]["psnr"] is None
        assert (tracked["test"]["ssim"] is None) == (name == "baseline/gray")
        assert isinstance(tracked["test"]["loss"], float)
        assert isinstance(tracked["rgb"]["psnr"], float)
        load_strictly(files.evaluation_path(name))
    load_strictly(files.gallery_path("some"))
    assert files.grid_path("some").is_file()


def test_a_test_loss_that_is_not_finite_is_an_error(images):
    save_colorizer("ab")
    state, _ = weights.load(files.weights_path("some", "best"))
    (head,) = (name for name in state if name.endswith("head.weight"))
    params = save_colorizer("ab", **{head: torch.full_like(state[head], 1e38)})
    message = (
        r"models/some/best\.safetensors: the test loss is (inf|nan), so the weights are damaged"
    )
    with pytest.raises(UserError, match=message):
        colorizers.evaluate("some", "photos", "mse", params)
    assert not files.metrics_path("some").exists()
    assert not files.evaluation_path("some").exists()


def test_the_gray_baseline_imports_nothing_of_training(images):
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BASELINE]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    output, imported = done.stdout.splitlines()
    assert output.startswith("baseline/gray: test loss ")
    assert imported == ""
