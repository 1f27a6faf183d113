"""The task of a colorizer: what it makes of a batch of images, and its training from prepared arrays to weights."""

import importlib

import torch
from torch import Tensor, nn

from colorpipe import arrays, checkpoints, color, live, metrics, paths, training, unfinished
from colorpipe.models import colorizer
from colorpipe.params import Params


def load_loss(name: str, data: str, precision: str, device: torch.device) -> nn.Module:
    """The loss of colorpipe/losses/<name>.py, under the data set's settings, for use in `autocast(device, precision)`."""
    build = importlib.import_module(f"colorpipe.losses.{name}").build
    return ready(build(*checkpoints.load(paths.weights(data, name))), precision, device)


def ready(loss: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """A loss for use in `autocast(device, precision)`."""
    if precision == "bfloat16":
        for weight in loss.parameters():  # never trained: cast once, not twice a step
            weight.data = weight.data.bfloat16()
    return loss.to(device)


def predict(model: nn.Module, images: Tensor, precision: str) -> tuple[Tensor, Tensor, Tensor]:
    """For stored images (B, 3, H, W) uint8: sRGB in 0..1, Lab, and the ab (B, 2, H, W) that `model` makes of L."""
    rgb = color.from_bytes(images)
    lab = color.rgb_to_lab(rgb)
    with training.autocast(rgb.device, precision):
        predicted = model(lab[:, :1].contiguous(memory_format=torch.channels_last))
    return rgb, lab, predicted


def protocol(loss: nn.Module, rgb: Tensor, lab: Tensor, predicted: Tensor, precision: str) -> dict[str, Tensor]:
    """The report's measures of one batch: the loss with its gradient, and SSIM and PSNR on the ab planes."""
    with training.autocast(rgb.device, precision):
        found = loss(predicted, lab, rgb)
    with torch.no_grad():
        ab = lab[:, 1:]
        return {"loss": found, "ssim": metrics.batch_ssim(predicted, ab), "psnr": metrics.batch_psnr(predicted, ab)}


def task(loss: nn.Module, precision: str) -> training.Measure:
    """What training measures on a batch of images."""

    def measure(model: nn.Module, batch: training.Batch) -> dict[str, Tensor]:
        return protocol(loss, *predict(model, batch[0], precision), precision)

    return measure


def train(name: str, model_name: str, data: str, loss_name: str, params: Params) -> None:
    """Train the colorizer `name`: models/<name>/{best,last}.safetensors and curves/<name>.csv."""
    device = training.prepare(params.seed, params.threads)
    settings = training.Settings.of(params, data)
    model_settings = params.models.get(model_name)
    train_images, val_images = (arrays.load(paths.images(data, part), device) for part in ("train", "val"))
    start, start_description = checkpoints.load(paths.weights(data, model_name))
    model = colorizer.build(model_name, model_settings, start).to(device, memory_format=torch.channels_last)
    loss = load_loss(loss_name, data, settings.precision, device)
    description = {
        "model": model_name,
        "settings": model_settings,
        "start": start_description["weights"],
        "data": data,
        "size": list(train_images.shape[2:]),
        "loss": {"name": loss_name, **loss.identity},
        "train": vars(settings),
    }

    def save(which: str, row: training.Row) -> None:
        checkpoints.save(paths.checkpoint(name, which), model.state_dict(), {**description, "row": row})

    training.announce(name, model, len(train_images), settings, device)
    inputs = [paths.images(data, "train"), paths.images(data, "val")]
    inputs += [paths.weights(data, model_name), paths.weights(data, loss_name)]
    with unfinished.training(name, description, inputs) as state, live.training(name, state) as log:
        measure = task(loss, settings.precision)
        training.fit(model, measure, (train_images,), (val_images,), settings, save, log, state)
