"""A colorizer's metrics, from stored images to JSON, against scikit-image and torchmetrics alone."""

import json

import archives
import numpy as np
import pytest
import torch
import torchvision
from skimage import color as skimage_color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from colorpipe import checkpoints, colorization, evaluation, params, paths, training
from colorpipe.losses import mse
from colorpipe.models.colorizer import build

N = 70  # a batch of 64 and a short one
CUT = {"cut": "layer1"}


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    paths.images("photos", "test").parent.mkdir(parents=True)
    found = {part: archives.smooth_images(rng, count, 32) for part, count in (("train", 40), ("val", 16), ("test", N))}
    for part, array in found.items():
        np.save(paths.images("photos", part), array)
    for name in ("mse", "resnet18"):
        checkpoints.save(paths.weights("photos", name), {}, {"weights": "random"})
    return found


def expected(predicted: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """The measures of predicted ab (N, 2, H, W), computed without a line of colorpipe."""
    rgb = images.transpose(0, 2, 3, 1) / 255
    lab = skimage_color.rgb2lab(rgb)
    ab = lab[..., 1:].transpose(0, 3, 1, 2)
    pictures = skimage_color.lab2rgb(np.concatenate([lab[..., :1], predicted.transpose(0, 2, 3, 1)], axis=-1))
    ssim = psnr = 0.0
    for start in range(0, len(ab), 64):
        ours, true = (torch.from_numpy(np.ascontiguousarray(x[start : start + 64])).double() for x in (predicted, ab))
        ssim += structural_similarity_index_measure(ours, true).item() * len(ours)
        data_range = (true.max() - true.min()).item()
        psnr += (20 * np.log10(data_range) - 10 * np.log10(((ours - true) ** 2).mean().item())) * len(ours)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
    return {
        "loss": ((predicted - ab) ** 2).mean(),
        "ssim": ssim / len(ab),
        "psnr": psnr / len(ab),
        "rgb_ssim": np.mean([structural_similarity(a, b, **options) for a, b in zip(rgb, pictures, strict=True)]),
        "rgb_psnr": np.mean([peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(rgb, pictures, strict=True)]),
    }


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_metrics_from_images_to_json(images):
    torch.manual_seed(0)
    model = build("resnet18", CUT).eval()
    description = {"model": "resnet18", "settings": CUT, "start": "random", "train": {"seed": 0}, "row": {"epoch": 4}}
    checkpoints.save(paths.checkpoint("some", "best"), model.state_dict(), description)
    evaluation.evaluate("some", "photos", "mse", threads=2)
    found = json.loads(paths.metrics("some").read_text())

    L = skimage_color.rgb2lab(images["test"].transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2)
    with torch.no_grad():
        predicted = model(torch.from_numpy(L).float()).numpy()
    ours, nothing = expected(predicted, images["test"]), expected(np.zeros_like(predicted), images["test"])
    assert (found["n"], found["data"], found["loss"], found["best_epoch"]) == (N, "photos", "mse", 4)
    for key in ("loss", "ssim", "psnr"):
        assert found["test"][key] == pytest.approx(ours[key], rel=1e-3), key
        assert found["no_colour"][key] == pytest.approx(nothing[key], rel=1e-3), key
    assert found["test"]["mse"] == found["test"]["loss"]
    for key in ("ssim", "psnr"):
        assert found["rgb"][key] == pytest.approx(ours[f"rgb_{key}"], rel=1e-3)
        assert found["no_colour"][f"rgb_{key}"] == pytest.approx(nothing[f"rgb_{key}"], rel=1e-3)
    assert found["original"]["colourfulness"] > 1
    assert paths.grid("some").is_file()


def test_a_network_sees_L_and_nothing_else(images):
    seen = []

    def model(L):
        seen.append(L)
        return torch.zeros(len(L), 2, 32, 32)

    _, lab, _ = colorization.predict(model, torch.from_numpy(images["test"]), "float32")
    L = skimage_color.rgb2lab(images["test"].transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2)
    assert np.abs(seen[0].numpy() - L).max() < 1e-3
    assert np.abs(lab[:, :1].numpy() - L).max() < 1e-3


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_the_precision_is_that_of_the_network(images, precision, dtype):
    seen = []

    def model(L):
        seen.append(torch.nn.functional.conv2d(L, torch.ones(2, 1, 1, 1)).dtype)
        return torch.zeros(len(L), 2, 32, 32)

    colorization.task(mse.build({}, {}), precision)(model, (torch.from_numpy(images["val"]),))
    assert seen == [dtype]


def test_training_starts_from_imagenet_weights_and_writes_what_it_did(images):
    """At a learning rate too small to move a weight, the start is what comes out."""
    torch.manual_seed(5)
    source = torchvision.models.resnet18().state_dict()
    checkpoints.save(paths.weights("photos", "resnet18"), source, {"weights": "imagenet"})
    p = params.load(archives.ROOT / "params.yaml")
    p = p.model_copy(update={"train": p.train.model_copy(update={"lr": 1e-12, "precision": "float32"})})
    colorization.train("some", "resnet18", "photos", "mse", p)
    tensors, description = checkpoints.load(paths.checkpoint("some", "best"))
    assert description["start"] == "imagenet"
    assert description["train"]["lr"] == 1e-12
    assert torch.allclose(tensors["encoder.layer1.0.conv1.weight"], source["layer1.0.conv1.weight"], atol=1e-6)
    assert torch.allclose(tensors["encoder.conv1.weight"], source["conv1.weight"].sum(dim=1, keepdim=True), atol=1e-6)
    curves = paths.curves("some").read_text().splitlines()
    assert len(curves) == 1 + training.Settings.of(p, "photos").epochs
