"""The evaluate and baseline stages: a colorizer, or the gray baseline, on a test set."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from colorpipe import files, metrics
from colorpipe.color import gamut
from colorpipe.config import Params
from colorpipe.data import arrays
from colorpipe.evaluation import gallery, grids
from colorpipe.evaluation.measure import PRECISION, EvaluationResult, GrayBaseline, measure
from colorpipe.evaluation.temperature import measure_temperatures
from colorpipe.losses.loss import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models.colorizer import Colorizer, load_colorizer
from colorpipe.runtime.errors import UserError
from colorpipe.training import colorization, devices, processes
from colorpipe.training.batches import Batch

GRID_IMAGES = 10
# Metrics that DVC tracks, by their key in metrics/<name>.json. evaluations/<name>.json has others.
TRACKED = {
    "test": {"loss": "loss", "ssim": "ssim", "psnr": "psnr", "mse": "mse"},
    "rgb": {"psnr": "rgb_psnr", "ssim": "rgb_ssim"},
}
UNTRACKED = ("rgb_mae", "colorfulness_distance", "histogram_divergence")


def evaluate(name: str, data: str, loss_name: str, params: Params) -> None:
    """Test the best weights of a colorizer.

    Write metrics/, evaluations/ and galleries/<name>.json, and grids/<name>.png.

    Args:
        name: A trained colorizer.
        data: The data set to test on.
        loss_name: The loss to report as test.loss.
        params: All settings. `threads` and `evaluation` are used.

    Raises:
        UserError: The weights or the images are missing or damaged.
    """
    device = devices.prepare(0, params.threads)  # no random numbers are drawn
    settings = params.evaluation
    temperatures = sorted({settings.temperature, *settings.temperatures}, reverse=True)
    checkpoint = files.checkpoint_path(name, "best")
    model, metadata = load_colorizer(checkpoint, device)
    model.temperature = settings.temperature
    test, loss, lpips = load_test_set(data, device), *load_losses(loss_name, data, device)
    result = measure(model, loss, lpips, test[0])
    if not math.isfinite(result.means["loss"]):
        raise UserError(
            f"{checkpoint}: the test loss is {result.means['loss']}, so the weights are damaged: "
            "delete the file and run `dvc repro`"
        )
    seed, epoch = metadata["train"]["seed"], metadata["epoch"]
    run = {
        "seed": seed,
        "init": metadata["init"],
        "best_epoch": epoch["epoch"],
        "val_loss": epoch["val_loss"],
        "baseline_loss": result.means["baseline_loss"],
    }
    if model.head == "bins":
        val = arrays.load_array(files.images_path(data, "val"), device)
        run["scale"] = model.scale  # the loss is computed at 1 / scale of the resolution
        run["temperature"] = settings.temperature
        run["temperatures"] = measure_temperatures(model, val, temperatures)
    if processes.rank() > 0:
        return
    identity = {"data": data, "n": len(test[0]), **run, "loss": loss_name, **loss.metadata}
    _write_metrics(name, result, identity, lpips)
    _write_images(name, model, test, result, seed)


def evaluate_baseline(name: str, data: str, loss_name: str, params: Params) -> None:
    """Test the gray baseline. Write metrics/ and evaluations/baseline/<name>.json.

    Args:
        name: The name of the files.
        data: The data set to test on.
        loss_name: The loss to report as test.loss.
        params: All settings. `threads` is used.
    """
    device = devices.prepare(0, params.threads)
    test, loss, lpips = load_test_set(data, device), *load_losses(loss_name, data, device)
    result = measure(GrayBaseline(), loss, lpips, test[0])
    colorfulness = {"original_colorfulness": result.means["original_colorfulness"]}
    identity = {"data": data, "n": len(test[0]), "loss": loss_name, **loss.metadata, **colorfulness}
    if processes.rank() == 0:
        _write_metrics(f"baseline/{name}", result, identity, lpips)


def load_test_set(data: str, device: torch.device) -> Batch:
    """Load the test images (N, 3, H, W) uint8 and labels (N,) of a data set."""
    paths = (files.images_path(data, "test"), files.labels_path(data, "test"))
    return tuple(arrays.load_array(path, device) for path in paths)


def load_losses(loss_name: str, data: str, device: torch.device) -> tuple[Loss, LPIPS]:
    """Load the loss to report, and LPIPS with the data set's VGG weights."""
    loss = colorization.load_loss(loss_name, data, device)
    if isinstance(loss, LPIPS):
        return loss, loss
    lpips = colorization.load_loss("lpips", data, device)
    assert isinstance(lpips, LPIPS)
    return loss, lpips


def choose_examples(labels: Tensor) -> list[int]:
    """Choose at most GRID_IMAGES test images for the grid, given their labels (N,).

    The last images of each class are chosen, because the last crop of a bundled photograph shows
    most of it. Without classes, the images are evenly spaced.
    """
    classes = labels.unique().tolist()
    if len(classes) < 2:
        return torch.linspace(0, len(labels) - 1, min(GRID_IMAGES, len(labels))).long().tolist()
    per_class = max(1, GRID_IMAGES // len(classes))
    of_class = [(labels == label).nonzero().flatten().tolist() for label in classes[:GRID_IMAGES]]
    return [number for numbers in of_class for number in numbers[-per_class:]]


@torch.no_grad()
def render_all(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return sRGB images in [0, 1] (B, 3, H, W): "gray", "predicted" and "original".

    Args:
        model: A colorizer.
        images: Stored images, (B, 3, H, W) uint8.
    """
    rgb, target, prediction = colorization.predict(model, images, PRECISION)
    L, ab = target[:, :1], prediction.ab
    gray = gamut.render(L, torch.zeros_like(ab))
    return {"gray": gray, "predicted": gamut.render(L, ab), "original": rgb}


def _write_metrics(
    name: str, result: EvaluationResult, identity: dict[str, Any], lpips: LPIPS
) -> None:
    means = result.means
    content: dict[str, Any] = {
        group: {key: means[mean] for key, mean in keys.items()} for group, keys in TRACKED.items()
    }
    content |= {"auc": means["auc"], "auc_rb": means["auc_rebalanced"]}
    content |= {key: means[key] for key in ("lpips", "colorfulness")}
    untracked = {key: means[key] for key in UNTRACKED}
    vgg = {"lpips_vgg": lpips.metadata["lpips_weights"]}
    files.write_json(files.metrics_path(name), content)
    files.write_json(files.evaluation_path(name), {**identity, **vgg, **untracked})
    print(f"{name}: test loss {means['loss']:.4g}, RGB PSNR {means['rgb_psnr']:.2f} dB")


def _write_images(
    name: str, model: Colorizer, test: Batch, result: EvaluationResult, seed: int
) -> None:
    images, labels = test
    grids.write(files.grid_path(name), render_all(model, images[choose_examples(labels)]))
    kinds = gallery.choose(result.errors, seed)
    numbers = sorted(set().union(*kinds.values()))
    rendered = render_all(model, images[numbers])
    psnr = metrics.psnr(rendered["predicted"], rendered["original"])
    scores = {"mse": result.errors[numbers], "psnr": psnr}
    gallery.write(files.gallery_path(name), kinds, numbers, scores, rendered, result.histograms)
