"""A colorizer's metrics, from stored images to JSON, against scikit-image and torchmetrics alone."""

import json
import math

import archives
import numpy as np
import pytest
import torch
import torchvision
from project import ROOT
from skimage import color as skimage_color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from colorpipe import config, files, metrics, weights
from colorpipe.color import bins
from colorpipe.evaluation import colorizers, measure
from colorpipe.losses import classification, lpips, mse
from colorpipe.models.colorizer import Prediction, build_colorizer
from colorpipe.training import colorization
from colorpipe.training.colorization import Columns

N = 70  # a batch of 64 and a short one
CUT = {"cut": "layer1"}
SETTINGS = {"classification": {"neighbors": 5, "sigma": 5.0, "rebalancing": 0.5}}
OTHERS = {
    "rgb_mae",
    "colorfulness_distance",
    "histogram_divergence",
}


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    files.images_path("photos", "test").parent.mkdir(parents=True)
    found = {
        part: archives.smooth_images(rng, count, 32)
        for part, count in (("train", 40), ("val", 16), ("test", N))
    }
    for part, array in found.items():
        np.save(files.images_path("photos", part), array)
    np.save(files.labels_path("photos", "test"), np.arange(N) % 7)
    np.save(files.prior_path("photos"), archives.PRIOR.numpy())
    for name in ("mse", "classification", "resnet18", "none"):
        weights.save(
            files.start_path("photos", name),
            {},
            {"weights": "random", **SETTINGS.get(name, {})},
        )
    weights.save(files.start_path("photos", "lpips"), {}, {"weights": "random", "random_seed": 0})
    torch.manual_seed(1)
    return found


def expected(predicted: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """The metrics of predicted ab (N, 2, H, W), computed without a line of colorpipe."""
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
        "loss": ((predicted - ab) ** 2).mean(),
        "ssim": ssim / len(ab),
        "psnr": psnr / len(ab),
        "rgb_ssim": np.mean(
            [structural_similarity(a, b, **options) for a, b in zip(rgb, rendered, strict=True)]
        ),
        "rgb_psnr": np.mean(
            [
                peak_signal_noise_ratio(a, b, data_range=1)
                for a, b in zip(rgb, rendered, strict=True)
            ]
        ),
    }


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_metrics_from_images_to_json(images):
    torch.manual_seed(0)
    model = build_colorizer("resnet18", CUT).eval()
    metadata = {"model": "resnet18", "settings": CUT, "init": "random", "train": {"seed": 0}}
    metadata["epoch"] = {"epoch": 4, "val_loss": 150.5}
    weights.save(files.checkpoint_path("some", "best"), model.state_dict(), metadata)
    params = config.load_params(ROOT / "params.yaml")
    colorizers.evaluate("some", "photos", "mse", params)
    colorizers.evaluate_baseline("gray", "photos", "mse", params)

    L = skimage_color.rgb2lab(images["test"].transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2)
    with torch.no_grad():
        predicted = model(torch.from_numpy(L).float()).numpy()
    for name, ab in (("some", predicted), ("baseline/gray", np.zeros_like(predicted))):
        found, wanted = (
            json.loads(files.metrics_path(name).read_text()),
            expected(ab, images["test"]),
        )
        for key in ("loss", "ssim", "psnr"):
            assert found["test"][key] == pytest.approx(wanted[key], rel=1e-3), (name, key)
        assert found["test"]["mse"] == found["test"]["loss"]
        for key in ("ssim", "psnr"):
            assert found["rgb"][key] == pytest.approx(wanted[f"rgb_{key}"], rel=1e-3), (name, key)
    assert found["colorfulness"] == pytest.approx(0, abs=0.5)  # gray
    run = json.loads(files.evaluation_path("some").read_text())
    assert run.pop("baseline_loss") == found["test"]["loss"]  # of the baseline, which was the last
    identity = {
        "data": "photos",
        "n": N,
        "seed": 0,
        "init": "random",
        "best_epoch": 4,
        "val_loss": 150.5,
        "loss": "mse",
    }
    assert {key: value for key, value in run.items() if key not in OTHERS} == identity | {
        "lpips_vgg": "random"
    }
    assert run.keys() >= OTHERS
    baseline = json.loads(files.evaluation_path("baseline/gray").read_text())
    assert baseline.pop("original_colorfulness") > 1
    baseline = {key: value for key, value in baseline.items() if key not in OTHERS}
    assert baseline == {"data": "photos", "n": N, "loss": "mse", "lpips_vgg": "random"}
    assert files.grid_path("some").is_file()


@pytest.mark.parametrize("scale", [2, 4])
def test_the_baseline_has_the_loss_of_uniform_logits_at_the_colorizers_resolution(images, scale):
    """log 313 times the weight of the bin nearest to the true color, which is averaged to that resolution."""

    class Model(torch.nn.Module):
        def predict(self, L: torch.Tensor) -> Prediction:
            logits = torch.randn(len(L), bins.COUNT, 32 // scale, 32 // scale)
            return Prediction(torch.randn(len(L), 2, 32, 32), logits)

    loss = classification.build(
        {}, {"neighbors": 5, "sigma": 5.0, "rebalancing": 0.5}, archives.PRIOR
    )
    distance = lpips.build({}, {"weights": "random", "random_seed": 0}, archives.PRIOR)
    found = measure.measure(Model(), loss, distance, torch.from_numpy(images["val"])).means
    ab = skimage_color.rgb2lab(images["val"].transpose(0, 2, 3, 1))[..., 1:]
    averaged = ab.reshape(len(ab), 32 // scale, scale, 32 // scale, scale, 2).mean(axis=(2, 4))
    nearest = (
        np.square(averaged[..., None, :] - bins.centers().numpy()).sum(axis=-1).argmin(axis=-1)
    )
    assert found["baseline_loss"] == pytest.approx(
        math.log(313) * loss.weights.numpy()[nearest].mean(), rel=1e-3
    )
    assert found["loss"] > found["baseline_loss"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2],
            [0, 1, 2, 3, 4, 5, 8, 9, 10],
        ),  # 3 of each of 3 classes: the last ones
        (list(range(12)) * 2, list(range(12, 22))),  # one of each of the first 10
        ([0] * 19, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),  # no classes: evenly spaced
        ([0] * 3, [0, 1, 2]),
    ],
)
def test_the_images_of_the_grid_are_of_different_classes(labels, expected):
    assert colorizers.choose_examples(torch.tensor(labels)) == expected


def test_the_curves_ssim_and_psnr_are_those_of_the_test(images):
    """The training curves' own functions, against torchmetrics, which gives the numbers of record."""
    torch.manual_seed(0)
    target = torch.randn(5, 2, 32, 32) * 20
    predicted = target + torch.randn_like(target) * 5
    record = measure.protocol_metrics(predicted, target)
    assert metrics.batch_ssim(predicted, target).item() == pytest.approx(
        record["ssim"].item(), abs=1e-6
    )
    assert metrics.batch_psnr(predicted, target).item() == pytest.approx(
        record["psnr"].item(), abs=1e-4
    )


def test_a_network_sees_L_and_nothing_else(images):
    seen = []

    class Model:
        def predict(self, L):
            seen.append(L)
            return Prediction(torch.zeros(len(L), 2, 32, 32))

    _, lab, _ = colorization.predict(Model(), torch.from_numpy(images["test"]), "float32")
    L = skimage_color.rgb2lab(images["test"].transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2)
    assert np.abs(seen[0].numpy() - L).max() < 1e-3
    assert np.abs(lab[:, :1].numpy() - L).max() < 1e-3


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_the_precision_is_that_of_the_network(images, precision, dtype):
    seen = []

    class Model:
        def predict(self, L):
            seen.append(torch.nn.functional.conv2d(L, torch.ones(2, 1, 1, 1)).dtype)
            return Prediction(torch.zeros(len(L), 2, 32, 32))

    colorization.ColorizationTask(mse.build({}, {}, archives.PRIOR), precision).metrics(
        Model(), (torch.from_numpy(images["val"]),)
    )
    assert seen == [dtype]


def test_training_starts_from_imagenet_weights_and_records_what_it_did(images):
    """At a learning rate too small to move a weight, the initial weights are what comes out."""
    torch.manual_seed(5)
    source = torchvision.models.resnet18().state_dict()
    init = files.start_path("photos", "resnet18")
    weights.save(init, source, {"weights": "imagenet"})
    params = config.load_params(ROOT / "params.yaml")
    params = params.model_copy(
        update={"train": params.train.model_copy(update={"lr": 1e-12, "precision": "float32"})}
    )
    colorization.train("some", Columns("resnet18", "photos", "mse", "paper", init), params)
    tensors, metadata = weights.load(files.checkpoint_path("some", "best"))
    assert metadata["init"] == "imagenet"
    assert metadata["train"]["lr"] == 1e-12
    assert torch.allclose(
        tensors["encoder.layer1.0.conv1.weight"], source["layer1.0.conv1.weight"], atol=1e-6
    )
    assert torch.allclose(
        tensors["encoder.conv1.weight"], source["conv1.weight"].sum(dim=1, keepdim=True), atol=1e-6
    )
    curves = files.curves_path("some").read_text().splitlines()
    assert len(curves) == 1 + params.data("photos").epochs
