"""A colorizer on the test set: the paper's metrics, the field's usual ones, and the baseline that predicts no color.

The paper's SSIM and PSNR (its "protocol") are computed by torchmetrics on the ab planes, with the data range of each batch
of 64. RGB metrics are of the rendered images.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from colorpipe import io, metrics, paths
from colorpipe.color import gamut
from colorpipe.data import load
from colorpipe.evaluation import gallery, grids
from colorpipe.losses.base import Loss
from colorpipe.models import base
from colorpipe.runtime.errors import UserError
from colorpipe.tasks import colorization
from colorpipe.training import device as devices
from colorpipe.training import loop
from colorpipe.training.loop import Batch, Metrics

PROTOCOL_BATCH = 64  # images: the data range of the protocol's SSIM and PSNR is that of a batch
PRECISION = "float32"
GRID_IMAGES = 10


class NoColor(nn.Module):
    """The trivial colorizer: a = b = 0 everywhere."""

    def forward(self, L: Tensor) -> Tensor:
        """Zeros (B, 2, H, W) for L (B, 1, H, W)."""
        return L.new_zeros(L.shape[0], 2, *L.shape[2:])


class EvalStep:
    """All metrics of a batch; `errors` collects the squared error of each image."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.errors: list[Tensor] = []

    def __call__(self, model: nn.Module, batch: Batch) -> Metrics:
        """The metrics of stored images (B, 3, H, W) uint8."""
        rgb, target, predicted = colorization.predict(model, batch[0], PRECISION)
        image = gamut.render(target[:, :1], predicted)
        squared = (predicted - target[:, 1:]).square()
        self.errors.append(squared.mean(dim=(1, 2, 3)))
        return {
            "loss": colorization.loss_of(self.loss, rgb, target, predicted, PRECISION),
            **protocol(predicted, target[:, 1:]),
            "mse": squared.mean(),
            "rgb_psnr": metrics.psnr(image, rgb).mean(),
            "rgb_ssim": metrics.ssim(image, rgb).mean(),
            "colorfulness": metrics.colorfulness(image).mean(),
            "original_colorfulness": metrics.colorfulness(rgb).mean(),
        }


def protocol(predicted: Tensor, target: Tensor) -> Metrics:
    """The paper's SSIM and PSNR of a batch of ab planes (B, 2, H, W), by torchmetrics.

    SSIM is the mean over images; its data range is the larger of max - min of the batch's prediction and of its target.
    PSNR is that of the squared error pooled over the batch, with the target's max - min. Both were torchmetrics' defaults
    in 2023.
    """
    data_range = (target.max() - target.min()).item()
    ssim = structural_similarity_index_measure(predicted, target)
    assert isinstance(ssim, Tensor)
    return {"ssim": ssim, "psnr": peak_signal_noise_ratio(predicted, target, data_range=data_range)}


def evaluate(name: str, data: str, loss_name: str, threads: int) -> None:
    """Test a colorizer's best weights: writes metrics/, evaluations/, galleries/<name>.json and grids/<name>.png.

    Args:
        name: a colorizer that was trained.
        data: the data set to test on.
        loss_name: the loss to report as test.loss.
        threads: of the CPU.

    Raises:
        UserError: the weights or the images are missing or damaged.
    """
    device = devices.prepare(0, threads)  # nothing is drawn
    model, metadata = base.load(paths.checkpoint(name, "best"), device)
    images, labels = (load.load(path(data, "test"), device) for path in (paths.images, paths.labels))
    loss = colorization.load_loss(loss_name, data, PRECISION, device)
    means, errors = test(model, loss, images)
    if not math.isfinite(means["loss"]):
        raise UserError(
            f"{paths.checkpoint(name, 'best')}: the test loss is {means['loss']}: its weights are damaged: remove it and "
            "run `dvc repro`"
        )
    seed, epoch = metadata["train"]["seed"], metadata["epoch"]
    run = {"seed": seed, "init": metadata["init"], "best_epoch": epoch["epoch"], "val_loss": epoch["val_loss"]}
    _write(name, means, {"data": data, "n": len(images), **run, "loss": loss_name, **loss.metadata})

    grids.write(paths.grid(name), render_all(model, images[choose_examples(labels)]))
    kinds = gallery.choose(errors.cpu(), seed)
    numbers = sorted(set().union(*kinds.values()))
    rendered = render_all(model, images[numbers])
    scores = {"mse": errors[numbers], "psnr": metrics.psnr(rendered["predicted"], rendered["original"])}
    gallery.write(paths.gallery(name), kinds, numbers, scores, rendered)


def choose_examples(labels: Tensor) -> list[int]:
    """Choose at most GRID_IMAGES images for the grid, given their labels (N,): the last ones of each class, as many of each.

    The last crop of a bundled photograph is one at the largest scale. Without classes: evenly spaced images.
    """
    classes = labels.unique().tolist()
    if len(classes) < 2:
        return torch.linspace(0, len(labels) - 1, min(GRID_IMAGES, len(labels))).long().tolist()
    each = max(1, GRID_IMAGES // len(classes))
    return [number for label in classes[:GRID_IMAGES] for number in (labels == label).nonzero().flatten().tolist()[-each:]]


def evaluate_baseline(name: str, data: str, loss_name: str, threads: int) -> None:
    """Test no color at all: writes metrics/baseline/<name>.json and evaluations/baseline/<name>.json."""
    device = devices.prepare(0, threads)
    images = load.load(paths.images(data, "test"), device)
    loss = colorization.load_loss(loss_name, data, PRECISION, device)
    means, _ = test(NoColor(), loss, images)
    original = {"original_colorfulness": means["original_colorfulness"]}
    _write(f"baseline/{name}", means, {"data": data, "n": len(images), "loss": loss_name, **loss.metadata, **original})


def test(model: nn.Module, loss: Loss, images: Tensor) -> tuple[dict[str, float], Tensor]:
    """The means over the test set, and the squared error of each image (N,)."""
    step = EvalStep(loss)
    means = loop.evaluate(step, model, (images,), PROTOCOL_BATCH).means()
    return means, torch.cat(step.errors)


def _write(name: str, means: dict[str, float], identity: dict[str, Any]) -> None:
    content = {
        "test": {key: means[key] for key in ("loss", "ssim", "psnr", "mse")},
        "rgb": {"psnr": means["rgb_psnr"], "ssim": means["rgb_ssim"]},
        "colorfulness": means["colorfulness"],
    }
    io.write_json(paths.metrics(name), content)
    io.write_json(paths.evaluation(name), identity)
    print(f"{name}: test loss {means['loss']:.4g}, PSNR in RGB {means['rgb_psnr']:.2f} dB")


@torch.no_grad()
def render_all(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Stored images (B, 3, H, W) uint8 as sRGB in 0..1: gray, as `model` predicts them, and original."""
    rgb, target, predicted = colorization.predict(model, images, PRECISION)
    L = target[:, :1]
    return {"gray": gamut.render(L, torch.zeros_like(predicted)), "predicted": gamut.render(L, predicted), "original": rgb}
