"""Colorization: predict ab from L, with the paper's metrics.

These are the loss, and SSIM and PSNR on the ab planes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from colorpipe import files, metrics, weights
from colorpipe.config import Params
from colorpipe.data import arrays
from colorpipe.inference import Colorized, Metrics, compute_loss, predict, prepare_device
from colorpipe.losses.loss import Loss, load_loss
from colorpipe.models.loading import build_colorizer, initialize
from colorpipe.training import processes
from colorpipe.training.batches import Batch
from colorpipe.training.settings import TrainSettings
from colorpipe.training.task import TrainingTask, train_task


class ColorizerEntry(NamedTuple):
    """A colorizer's entry in the table of dvc.yaml.

    Attributes:
        model: A module of colorpipe/models.
        data: A data set of params.yaml.
        loss: A module of colorpipe/losses.
        recipe: A recipe of params.yaml: "train" or "recipes.<name>".
        start: The file of initial weights (see `models.loading.initialize`).
    """

    model: str
    data: str
    loss: str
    recipe: str
    start: Path


class ColorizationTask(TrainingTask):
    """Training of a colorizer on a loss."""

    def __init__(self, loss: Loss, precision: str) -> None:
        super().__init__(precision)
        self.loss = loss

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return the paper's metrics of stored images (B, 3, H, W) uint8."""
        colorized, loss = self.apply(model, batch[0])
        return self.compute_metrics(loss, colorized)

    def apply(self, model: nn.Module, images: Tensor) -> tuple[Colorized, Tensor]:
        """Colorize stored images (B, 3, H, W) uint8, and return the prediction and its loss."""
        colorized = predict(model, images, self.precision)
        return colorized, compute_loss(self.loss, colorized, self.precision)

    @staticmethod
    def compute_metrics(loss: Tensor, colorized: Colorized) -> Metrics:
        """Return the loss, and SSIM and PSNR on the ab planes."""
        with torch.no_grad():
            predicted, ab = colorized.prediction.ab, colorized.true_ab
            ssim, psnr = metrics.batch_ssim(predicted, ab), metrics.batch_psnr(predicted, ab)
            return {"loss": loss, "ssim": ssim, "psnr": psnr}


def train(name: str, entry: ColorizerEntry, params: Params) -> None:
    """Train a colorizer on its loss (see `train_colorizer`)."""
    train_colorizer(ColorizationTask, name, entry, params)


def train_colorizer(
    make_task: Callable[[Loss, str], TrainingTask], name: str, entry: ColorizerEntry, params: Params
) -> None:
    """Train a colorizer. Write models/<name>/{best,last}.safetensors and curves/<name>.csv.

    Args:
        make_task: Makes the task from the loss and the precision.
        name: The name of the colorizer.
        entry: The colorizer's entry in the table of dvc.yaml.
        params: All settings.
    """
    device = prepare_device(params.seed, params.threads, processes.join(params.processes))
    data, recipe = entry.data, params.recipe(entry.recipe)
    settings = TrainSettings.from_params(
        recipe, params.data(data), params.seed, device, params.processes, entry.recipe
    )
    train_images = arrays.load_array(files.images_path(data, "train"), device, shuffled=True)
    val_images = arrays.load_array(files.images_path(data, "val"), device)
    loss = load_loss(entry.loss, data, params, device)
    model = build_colorizer(entry.model, params.model(entry.model), loss.head)
    start = initialize(model, entry.model, params.model(entry.model), entry.start)
    starts_from_bins = weights.load_metadata(entry.start).get("head") == "bins"
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.set_bin_weights(loss.bin_weights, keep_colors=starts_from_bins)
    metadata = {
        "model": entry.model,
        "settings": params.model(entry.model),
        "head": loss.head,
        "start": start,
        "data": data,
        "size": list(train_images.shape[2:]),
        "loss": {
            "name": entry.loss,
            "settings": params.loss_settings(entry.loss),
            **loss.metadata,
        },
    }
    images = [files.images_path(data, split) for split in ("train", "val")]
    loss_weights = files.start_path(data, entry.loss)
    inputs = [entry.start, *images, files.colors_path(data), loss_weights]
    task = make_task(loss, settings.precision)
    sets = ((train_images,), (val_images,))
    train_task(name, task, model, sets, settings, metadata, inputs)
    processes.leave()
