"""Colorization: predict ab from L. Its metrics are the paper's: the loss, and SSIM and PSNR on the ab planes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from colorpipe import config, metrics, paths, weights
from colorpipe.color import lab
from colorpipe.config import Params
from colorpipe.data import load
from colorpipe.losses.base import Loss
from colorpipe.models import base
from colorpipe.tasks import supervised
from colorpipe.tasks.supervised import SupervisedTask
from colorpipe.training import device as devices
from colorpipe.training.loop import Batch, Metrics, TrainSettings


class ColorizationTask(SupervisedTask):
    """A colorizer, trained on one of colorpipe/losses."""

    def __init__(self, loss: Loss, precision: str) -> None:
        super().__init__(precision)
        self.loss = loss

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """The paper's metrics of stored images (B, 3, H, W) uint8."""
        rgb, target, predicted = predict(model, batch[0], self.precision)
        loss = loss_of(self.loss, rgb, target, predicted, self.precision)
        with torch.no_grad():
            ab = target[:, 1:]
            return {"loss": loss, "ssim": metrics.batch_ssim(predicted, ab), "psnr": metrics.batch_psnr(predicted, ab)}


def predict(model: nn.Module, images: Tensor, precision: str) -> tuple[Tensor, Tensor, Tensor]:
    """Colorize stored images.

    Args:
        model: a colorizer.
        images: sRGB, (B, 3, H, W) uint8.
        precision: of the network's arithmetic.

    Returns:
        sRGB in 0..1 (B, 3, H, W), its Lab (B, 3, H, W), and the predicted ab (B, 2, H, W) in Lab units.
    """
    rgb = lab.from_bytes(images)
    target = lab.rgb_to_lab(rgb)
    with devices.autocast(rgb.device, precision):
        predicted = model(target[:, :1].contiguous(memory_format=torch.channels_last))
    return rgb, target, predicted


def loss_of(loss: Loss, rgb: Tensor, target: Tensor, predicted: Tensor, precision: str) -> Tensor:
    """The loss, a scalar, of what `predict` returned."""
    with devices.autocast(rgb.device, precision):
        value: Tensor = loss(predicted, target, rgb)
    return value


def load_loss(name: str, data: str, precision: str, device: torch.device) -> Loss:
    """The loss of colorpipe/losses/<name>.py under the data set's settings, for use at a precision."""
    module = config.plugin("losses", name)
    loss: Loss = module.build(*weights.load(paths.init_weights(data, name)))
    return cast_frozen(loss, precision).to(device)


def cast_frozen(loss: Loss, precision: str) -> Loss:
    """Cast the loss's parameters, which are never trained, once: autocast would cast them in every step."""
    if precision == "bfloat16":
        for parameter in loss.parameters():
            parameter.data = parameter.data.bfloat16()
    return loss


def train(name: str, model_name: str, data: str, loss_name: str, init: Path, params: Params) -> None:
    """Train the colorizer `name`: writes models/<name>/{best,last}.safetensors and curves/<name>.csv.

    Args:
        name: a row of the table of colorizers.
        model_name: a file of colorpipe/models.
        data: a data set of params.yaml.
        loss_name: a file of colorpipe/losses.
        init: ImageNet weights for the encoder, or a weight file without tensors.
        params: all settings.
    """
    device = devices.prepare(params.seed, params.threads)
    settings = TrainSettings.from_params(params, data, device)
    train_images, val_images = (load.load(paths.images(data, split), device) for split in ("train", "val"))
    tensors, init_metadata = weights.load(init)
    model = base.build(model_name, params.model(model_name), tensors).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = load_loss(loss_name, data, settings.precision, device)
    metadata = {
        "model": model_name,
        "settings": params.model(model_name),
        "init": init_metadata["weights"],
        "data": data,
        "size": list(train_images.shape[2:]),
        "loss": {"name": loss_name, **loss.metadata},
    }
    inputs = [init, paths.images(data, "train"), paths.images(data, "val"), paths.init_weights(data, loss_name)]
    task = ColorizationTask(loss, settings.precision)
    supervised.train(name, task, model, ((train_images,), (val_images,)), settings, metadata, inputs)
