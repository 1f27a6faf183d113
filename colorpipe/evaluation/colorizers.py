"""A colorizer, or no color, on the test set: its metrics, what identifies them, and pictures."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from colorpipe import io, metrics, paths
from colorpipe.color import gamut
from colorpipe.config import Params
from colorpipe.data import load
from colorpipe.evaluation import gallery, grids, judge, temperature
from colorpipe.evaluation.measure import PRECISION, Measured, NoColor, measure
from colorpipe.losses.base import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models import base
from colorpipe.models.base import Colorizer
from colorpipe.runtime.errors import UserError
from colorpipe.tasks import colorization
from colorpipe.training import device as devices
from colorpipe.training import processes
from colorpipe.training.batches import Batch

GRID_IMAGES = 10
# Metrics that DVC tracks, by their key in metrics/<name>.json; the others are in evaluations/<name>.json.
TRACKED = {
    "test": {"loss": "loss", "ssim": "ssim", "psnr": "psnr", "mse": "mse"},
    "rgb": {"psnr": "rgb_psnr", "ssim": "rgb_ssim"},
}
OTHERS = ("rgb_mae", "colorfulness_distance", "histogram_divergence", "recognized", "flip_mse", "flip_ssim", "flip_psnr")


def evaluate(name: str, data: str, loss_name: str, params: Params) -> None:
    """Test a colorizer's best weights: writes metrics/, evaluations/, galleries/<name>.json and grids/<name>.png.

    Args:
        name: a colorizer that was trained.
        data: the data set to test on.
        loss_name: the loss to report as test.loss.
        params: threads, and the temperatures of a head over the bins.

    Raises:
        UserError: the weights or the images are missing or damaged.
    """
    device = devices.prepare(0, params.threads)  # nothing is drawn
    settings = params.evaluation
    temperatures = sorted({settings.temperature, *settings.temperatures}, reverse=True)
    model, metadata = base.load(paths.checkpoint(name, "best"), device)
    model.temperature = settings.temperature
    test, loss, lpips = test_set(data, device), *losses(loss_name, data, device)
    measured = measure(model, loss, lpips, judge.load(data, device), test)
    if not math.isfinite(measured.means["loss"]):
        raise UserError(
            f"{paths.checkpoint(name, 'best')}: the test loss is {measured.means['loss']}: its weights are damaged: remove "
            "it and run `dvc repro`"
        )
    seed, epoch = metadata["train"]["seed"], metadata["epoch"]
    run = {"seed": seed, "init": metadata["init"], "best_epoch": epoch["epoch"], "val_loss": epoch["val_loss"]}
    run["no_color_loss"] = measured.means["no_color_loss"]
    if model.head == "bins":
        val = load.load(paths.images(data, "val"), device)
        run["scale"] = model.scale  # the logits are at 1 / scale of the resolution, and so is the loss
        run["temperature"] = settings.temperature
        run["temperatures"] = temperature.curve(model, val, temperatures)
    if processes.rank() > 0:
        return
    _write(name, measured, {"data": data, "n": len(test[0]), **run, "loss": loss_name, **loss.metadata}, lpips)
    _draw(name, model, test, measured, seed, temperatures)


def evaluate_baseline(name: str, data: str, loss_name: str, params: Params) -> None:
    """Test no color at all: writes metrics/baseline/<name>.json and evaluations/baseline/<name>.json."""
    device = devices.prepare(0, params.threads)
    test, loss, lpips = test_set(data, device), *losses(loss_name, data, device)
    measured = measure(NoColor(), loss, lpips, judge.load(data, device), test)
    original = {key: value for key, value in measured.means.items() if key.startswith("original_")}
    identity = {"data": data, "n": len(test[0]), "loss": loss_name, **loss.metadata, **original}
    if processes.rank() == 0:
        _write(f"baseline/{name}", measured, identity, lpips)


def test_set(data: str, device: torch.device) -> Batch:
    """The test images and labels of a data set."""
    return tuple(load.load(path(data, "test"), device) for path in (paths.images, paths.labels))


def losses(loss_name: str, data: str, device: torch.device) -> tuple[Loss, LPIPS]:
    """The loss to report, and LPIPS under the data set's settings."""
    loss = colorization.load_loss(loss_name, data, PRECISION, device)
    lpips = loss if isinstance(loss, LPIPS) else colorization.load_loss("lpips", data, PRECISION, device)
    assert isinstance(lpips, LPIPS)
    return loss, lpips


def choose_examples(labels: Tensor) -> list[int]:
    """Choose at most GRID_IMAGES images for the grid, given their labels (N,): the last ones of each class, as many of each.

    The last crop of a bundled photograph is one at the largest scale. Without classes: evenly spaced images.
    """
    classes = labels.unique().tolist()
    if len(classes) < 2:
        return torch.linspace(0, len(labels) - 1, min(GRID_IMAGES, len(labels))).long().tolist()
    each = max(1, GRID_IMAGES // len(classes))
    return [number for label in classes[:GRID_IMAGES] for number in (labels == label).nonzero().flatten().tolist()[-each:]]


def _write(name: str, measured: Measured, identity: dict[str, Any], lpips: LPIPS) -> None:
    means = measured.means
    content: dict[str, Any] = {group: {key: means[mean] for key, mean in keys.items()} for group, keys in TRACKED.items()}
    content |= {"auc": means["auc"], "auc_rb": means["auc_rebalanced"]}
    content |= {key: means[key] for key in ("lpips", "colorfulness")}
    others = {key: means[key] for key in OTHERS if key in means}
    io.write_json(paths.metrics(name), content)
    io.write_json(paths.evaluation(name), {**identity, "lpips_vgg": lpips.metadata["lpips_weights"], **others})
    print(f"{name}: test loss {means['loss']:.4g}, PSNR in RGB {means['rgb_psnr']:.2f} dB")


def _draw(name: str, model: Colorizer, test: Batch, measured: Measured, seed: int, temperatures: list[float]) -> None:
    images, labels = test
    errors = measured.errors
    grids.write(paths.grid(name), render_all(model, images[choose_examples(labels)]))
    kinds = gallery.choose(errors, seed)
    numbers = sorted(set().union(*kinds.values()))
    rendered = render_all(model, images[numbers])
    scores = {"mse": errors[numbers], "psnr": metrics.psnr(rendered["predicted"], rendered["original"])}
    if model.head == "bins":
        rendered |= temperature.renderings(model, images[numbers], temperatures)
    gallery.write(paths.gallery(name), kinds, numbers, scores, rendered, measured.histograms)


@torch.no_grad()
def render_all(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Stored images (B, 3, H, W) uint8 as sRGB in 0..1: gray, as `model` predicts them, and original."""
    rgb, target, prediction = colorization.predict(model, images, PRECISION)
    L, ab = target[:, :1], prediction.ab
    return {"gray": gamut.render(L, torch.zeros_like(ab)), "predicted": gamut.render(L, ab), "original": rgb}
