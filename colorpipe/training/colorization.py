"""Colorization: predict ab from L. Its metrics are the paper's: the loss, and SSIM and PSNR on the ab planes."""

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


class Row(NamedTuple):
    """A row of the table of colorizers."""

    model: str  # a file of colorpipe/models
    data: str  # a data set of params.yaml
    loss: str  # a file of colorpipe/losses
    recipe: str  # a recipe of params.yaml
    init: Path  # what the model starts from (see `initialize`)


class ColorizationTask(SupervisedTask):
    """A colorizer, trained on one of colorpipe/losses."""

    def __init__(self, loss: Loss, precision: str) -> None:
        super().__init__(precision)
        self.loss = loss

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """The paper's metrics of stored images (B, 3, H, W) uint8."""
        _, target, prediction, loss = self.apply(model, batch[0])
        return self.report(loss, target, prediction)

    def apply(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, Prediction, Tensor]:
        """What `predict` returns for stored images (B, 3, H, W) uint8, and the loss of it, a scalar."""
        rgb, target, prediction = predict(model, images, self.precision)
        return rgb, target, prediction, loss_of(self.loss, rgb, target, prediction, self.precision)

    @staticmethod
    def report(loss: Tensor, target: Tensor, prediction: Prediction) -> Metrics:
        """The loss, and SSIM and PSNR on the ab planes of an image in Lab (B, 3, H, W)."""
        with torch.no_grad():
            predicted, ab = prediction.ab, target[:, 1:]
            return {
                "loss": loss,
                "ssim": metrics.batch_ssim(predicted, ab),
                "psnr": metrics.batch_psnr(predicted, ab),
            }


def predict(model: nn.Module, images: Tensor, precision: str) -> tuple[Tensor, Tensor, Prediction]:
    """Colorize stored images.

    Args:
        model: a colorizer.
        images: sRGB, (B, 3, H, W) uint8.
        precision: of the network's arithmetic.

    Returns:
        sRGB in 0..1 (B, 3, H, W), its Lab (B, 3, H, W), and the prediction.
    """
    rgb = lab.from_bytes(images)
    target = lab.rgb_to_lab(rgb)
    with devices.autocast(rgb.device, precision):
        L = target[:, :1].contiguous(memory_format=torch.channels_last)
        prediction: Prediction = model.predict(L)  # type: ignore[operator]  # of a colorizer, or of no color
    return rgb, target, prediction


def loss_of(
    loss: Loss, rgb: Tensor, target: Tensor, prediction: Prediction, precision: str
) -> Tensor:
    """The loss, a scalar, of what `predict` returned."""
    predicted = prediction.logits if loss.head == "bins" else prediction.ab
    with devices.autocast(rgb.device, precision):
        value: Tensor = loss(predicted, target, rgb)
    return value


def load_loss(name: str, data: str, precision: str, device: torch.device) -> Loss:
    """The loss of colorpipe/losses/<name>.py under the data set's settings, for use at a precision."""
    module = config.plugin("losses", name)
    prior = arrays.load_array(files.prior_path(data), torch.device("cpu"))
    loss: Loss = module.build(*weights.load(files.init_weights_path(data, name)), prior)
    return cast_frozen(loss, precision).to(device)


def cast_frozen(loss: Loss, precision: str) -> Loss:
    """Cast the loss's parameters, which are never trained, once: autocast would cast them in every step."""
    if precision == "bfloat16":
        for parameter in loss.parameters():
            parameter.data = parameter.data.bfloat16()
    return loss


def train(name: str, row: Row, params: Params) -> None:
    """Train the colorizer `name` on its loss alone (see `train_on`)."""
    config.plugin_config(Config, params.task("colorization"), "params.yaml: tasks.colorization")
    train_on(ColorizationTask, name, row, params)


def train_on(
    task: Callable[[Loss, str], SupervisedTask], name: str, row: Row, params: Params
) -> None:
    """Train the colorizer `name`: writes models/<name>/{best,last}.safetensors and curves/<name>.csv.

    Args:
        task: builds the task from the loss and the precision.
        name: of a row of the table of colorizers.
        row: its columns.
        params: all settings.
    """
    device = devices.prepare(params.seed, params.threads)
    settings = TrainSettings.from_params(
        params.recipe(row.recipe), params.data(row.data), params.seed, device
    )
    train_images = arrays.load_array(files.images_path(row.data, "train"), device, shuffled=True)
    val_images = arrays.load_array(files.images_path(row.data, "val"), device)
    loss = load_loss(row.loss, row.data, settings.precision, device)
    model = build_colorizer(row.model, params.model(row.model), loss.head)
    start = initialize(model, row.model, row.init)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    metadata = {
        "model": row.model,
        "settings": params.model(row.model),
        "head": loss.head,
        "init": start,
        "data": row.data,
        "size": list(train_images.shape[2:]),
        "loss": {"name": row.loss, **loss.metadata},
    }
    images = [files.images_path(row.data, split) for split in ("train", "val")]
    inputs = [
        row.init,
        *images,
        files.prior_path(row.data),
        files.init_weights_path(row.data, row.loss),
    ]
    data = ((train_images,), (val_images,))
    supervised.train(name, task(loss, settings.precision), model, data, settings, metadata, inputs)
