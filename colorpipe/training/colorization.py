"""Colorization: predict ab from L, with the paper's metrics.

These are the loss, and SSIM and PSNR on the ab planes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from colorpipe import config, files, metrics, weights
from colorpipe.color import lab
from colorpipe.config import Params, Strict
from colorpipe.data import arrays
from colorpipe.losses.loss import Loss
from colorpipe.models.colorizer import Prediction, build_colorizer, initialize
from colorpipe.training import devices, supervised
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch
from colorpipe.training.settings import TrainSettings
from colorpipe.training.supervised import SupervisedTask


class Config(Strict):
    """No settings."""


class Columns(NamedTuple):
    """The columns of a colorizer in the table of dvc.yaml.

    Attributes:
        model: A module of colorpipe/models.
        data: A data set of params.yaml.
        loss: A module of colorpipe/losses.
        recipe: A recipe of params.yaml.
        init: The weights that the model starts from (see `models.colorizer.initialize`).
    """

    model: str
    data: str
    loss: str
    recipe: str
    init: Path


class ColorizationTask(SupervisedTask):
    """Training of a colorizer on a loss."""

    def __init__(self, loss: Loss, precision: str) -> None:
        super().__init__(precision)
        self.loss = loss

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return the paper's metrics of stored images (B, 3, H, W) uint8."""
        _, target, prediction, loss = self.apply(model, batch[0])
        return self.report(loss, target, prediction)

    def apply(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, Prediction, Tensor]:
        """Return the result of `predict` for stored images (B, 3, H, W) uint8, and its loss."""
        rgb, target, prediction = predict(model, images, self.precision)
        return rgb, target, prediction, loss_of(self.loss, rgb, target, prediction, self.precision)

    @staticmethod
    def report(loss: Tensor, target: Tensor, prediction: Prediction) -> Metrics:
        """Return the loss, and SSIM and PSNR on the ab planes, for Lab images (B, 3, H, W)."""
        with torch.no_grad():
            predicted, ab = prediction.ab, target[:, 1:]
            ssim, psnr = metrics.batch_ssim(predicted, ab), metrics.batch_psnr(predicted, ab)
            return {"loss": loss, "ssim": ssim, "psnr": psnr}


def predict(model: nn.Module, images: Tensor, precision: str) -> tuple[Tensor, Tensor, Prediction]:
    """Colorize stored images.

    Args:
        model: A colorizer.
        images: Stored images, (B, 3, H, W) uint8 sRGB.
        precision: Precision of the network's arithmetic.

    Returns:
        The images as sRGB in [0, 1] and as Lab, (B, 3, H, W) each, and the prediction.
    """
    rgb = lab.from_bytes(images)
    target = lab.rgb_to_lab(rgb)
    with devices.autocast(rgb.device, precision):
        L = target[:, :1].contiguous(memory_format=torch.channels_last)
        prediction: Prediction = model.predict(L)  # type: ignore[operator]
    return rgb, target, prediction


def loss_of(
    loss: Loss, rgb: Tensor, target: Tensor, prediction: Prediction, precision: str
) -> Tensor:
    """Return the loss, a scalar, of the results of `predict`."""
    predicted = prediction.logits if loss.head == "bins" else prediction.ab
    with devices.autocast(rgb.device, precision):
        value: Tensor = loss(predicted, target, rgb)
    return value


def load_loss(name: str, data: str, device: torch.device) -> Loss:
    """Load a loss of colorpipe/losses with the settings of a data set."""
    module = config.load_plugin("losses", name)
    prior = arrays.load_array(files.prior_path(data), torch.device("cpu"))
    loss: Loss = module.build(*weights.load(files.init_weights_path(data, name)), prior)
    return loss.to(device)


def train(name: str, columns: Columns, params: Params) -> None:
    """Train a colorizer on its loss alone (see `train_colorizer`)."""
    config.validate_section(Config, params.task("colorization"), "params.yaml: tasks.colorization")
    train_colorizer(ColorizationTask, name, columns, params)


def train_colorizer(
    make_task: Callable[[Loss, str], SupervisedTask], name: str, columns: Columns, params: Params
) -> None:
    """Train a colorizer. Write models/<name>/{best,last}.safetensors and curves/<name>.csv.

    Args:
        make_task: Makes the task from the loss and the precision.
        name: The name of the colorizer.
        columns: The colorizer's columns in the table of dvc.yaml.
        params: All settings.
    """
    device = devices.prepare(params.seed, params.threads)
    data, recipe = columns.data, params.recipe(columns.recipe)
    settings = TrainSettings.from_params(recipe, params.data(data), params.seed, device)
    train_images = arrays.load_array(files.images_path(data, "train"), device, shuffled=True)
    val_images = arrays.load_array(files.images_path(data, "val"), device)
    loss = load_loss(columns.loss, data, device)
    model = build_colorizer(columns.model, params.model(columns.model), loss.head)
    start = initialize(model, columns.model, columns.init)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    metadata = {
        "model": columns.model,
        "settings": params.model(columns.model),
        "head": loss.head,
        "init": start,
        "data": data,
        "size": list(train_images.shape[2:]),
        "loss": {"name": columns.loss, **loss.metadata},
    }
    images = [files.images_path(data, split) for split in ("train", "val")]
    loss_weights = files.init_weights_path(data, columns.loss)
    inputs = [columns.init, *images, files.prior_path(data), loss_weights]
    task = make_task(loss, settings.precision)
    sets = ((train_images,), (val_images,))
    supervised.train(name, task, model, sets, settings, metadata, inputs)
