"""The evaluate and baseline stages: a colorizer, or the gray baseline, on a test set."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from colorpipe import files
from colorpipe.config import Params
from colorpipe.data import arrays
from colorpipe.evaluation import gallery, grids
from colorpipe.evaluation.decodings import measure_vividness
from colorpipe.evaluation.measure import GrayBaseline, Measurement, measure
from colorpipe.evaluation.table import METRICS
from colorpipe.inference import prepare_device, render
from colorpipe.losses.loss import Loss, load_loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import load_colorizer
from colorpipe.runtime.errors import UserError

GRID_IMAGES = 10


def evaluate(name: str, data: str, loss_name: str, params: Params) -> None:
    """Test the best weights of a colorizer.

    Write metrics/, evaluations/ and galleries/<name>.json, and grids/<name>.png.

    Args:
        name: A trained colorizer.
        data: The data set to test on.
        loss_name: The loss to report as test.loss.
        params: All settings. `threads`, `evaluation` and the losses' sections are used.

    Raises:
        UserError: The weights or the images are missing or damaged.
    """
    device = prepare_device(0, params.threads)  # no random numbers are drawn
    settings = params.evaluation
    checkpoint = files.weights_path(name, "best")
    model, metadata = load_colorizer(checkpoint, device)
    model.alpha, model.temperature = settings.alpha, settings.temperature
    images = arrays.load_array(files.images_path(data, "test"), device)
    labels = arrays.load_array(files.labels_path(data, "test"), device)
    loss, lpips = load_losses(loss_name, data, params, device)
    result = measure(model, loss, lpips, images)
    test_loss = result.metrics["test.loss"]
    if not math.isfinite(test_loss):
        raise UserError(
            f"{checkpoint}: the test loss is {test_loss}, so the weights are damaged: delete the "
            "file and run `dvc repro`"
        )
    seed, epoch = metadata["train"]["seed"], metadata["epoch"]
    about = {
        "data": data,
        "n": len(images),
        "seed": seed,
        "start": metadata["start"],
        "best_epoch": epoch["epoch"],
        "val_loss": epoch["val_loss"],
        "loss": loss_name,
        **loss.metadata,
    }
    if model.head == "bins":
        val = arrays.load_array(files.images_path(data, "val"), device)
        # The loss is computed at 1 / logits_stride of the resolution.
        about["logits_stride"] = model.logits_stride
        about |= {"alpha": settings.alpha, "temperature": settings.temperature}
        about |= measure_vividness(model, settings, val, images)
    _write_metrics(name, result, about, lpips)
    _write_images(name, model, images, labels, result)


def evaluate_baseline(name: str, data: str, loss_name: str, params: Params) -> None:
    """Test the gray baseline. Write metrics/ and evaluations/baseline/<name>.json.

    Args:
        name: The name of the files.
        data: The data set to test on.
        loss_name: The loss to report as test.loss.
        params: All settings. `threads` and the losses' sections are used.
    """
    device = prepare_device(0, params.threads)
    images = arrays.load_array(files.images_path(data, "test"), device)
    loss, lpips = load_losses(loss_name, data, params, device)
    result = measure(GrayBaseline(), loss, lpips, images)
    about = {"data": data, "n": len(images), "loss": loss_name, **loss.metadata}
    _write_metrics(f"baseline/{name}", result, about, lpips)


def load_losses(name: str, data: str, params: Params, device: torch.device) -> tuple[Loss, LPIPS]:
    """Load the loss to report, and LPIPS with the data set's VGG weights."""
    loss = load_loss(name, data, params, device)
    lpips = loss if isinstance(loss, LPIPS) else load_loss("lpips", data, params, device)
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
    by_class = [(labels == label).nonzero().flatten().tolist() for label in classes[:GRID_IMAGES]]
    return [number for numbers in by_class for number in numbers[-per_class:]]


def _write_metrics(name: str, result: Measurement, about: dict[str, Any], lpips: LPIPS) -> None:
    tracked = {m.key for m in METRICS if m.tracked}
    vgg = {"lpips_vgg": lpips.metadata["lpips_weights"]}
    untracked = {key: value for key, value in result.metrics.items() if key not in tracked}
    files.write_metrics(
        files.metrics_path(name), {k: v for k, v in result.metrics.items() if k in tracked}
    )
    files.write_metrics(files.evaluation_path(name), {**about, **vgg, **untracked})
    loss, psnr = result.metrics["test.loss"], result.metrics["rgb.psnr"]
    print(f"{name}: test loss {loss:.4g}, RGB PSNR {psnr:.2f} dB")


def _write_images(
    name: str, model: Colorizer, images: Tensor, labels: Tensor, result: Measurement
) -> None:
    grids.write(files.grid_path(name), _render_for_page(model, images[choose_examples(labels)]))
    kinds = gallery.choose(result.errors)
    numbers = sorted(set().union(*kinds.values()))
    rendered = _render_for_page(model, images[numbers])
    gallery.write(files.gallery_path(name), kinds, numbers, result.errors[numbers], rendered)


def _render_for_page(model: Colorizer, images: Tensor) -> dict[str, Tensor]:
    """Render images, and shrink them to at most MAX_SIDE pixels per side."""
    side = min(images.shape[-1], grids.MAX_SIDE)
    rendered = render(model, images)
    return {name: F.adaptive_avg_pool2d(part, side) for name, part in rendered.items()}
