"""A trained colorizer on the test set: the report's protocol, the field's usual numbers, and no colour beside both."""

import json

import torch
from torch import Tensor, nn

from colorpipe import arrays, checkpoints, color, colorization, grids, metrics, paths, training
from colorpipe.errors import UserError
from colorpipe.models import colorizer

PROTOCOL_BATCH = 64  # images: SSIM and PSNR of the report's protocol read their data range off each batch
PRECISION = "float32"
GRID_IMAGES = 10


class NoColour(nn.Module):
    """The trivial colorizer: a = b = 0 everywhere."""

    def forward(self, L: Tensor) -> Tensor:
        """(B, 1, H, W) to zeros (B, 2, H, W)."""
        return L.new_zeros(L.shape[0], 2, *L.shape[2:])


def load_colorizer(name: str, device: torch.device) -> tuple[colorizer.Colorizer, dict]:
    """The best weights of a colorizer, ready for use, and their description."""
    path = paths.checkpoint(name, "best")
    tensors, description = checkpoints.load(path)
    try:
        model = colorizer.build(description["model"], description["settings"])
        model.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path} holds no colorizer ({str(error).splitlines()[0]}): remove it and run `dvc repro`"
        ) from error
    return model.to(device, memory_format=torch.channels_last).eval(), description


def task(loss: nn.Module) -> training.Measure:
    """What to measure on a batch: the protocol, the squared error of ab, and the rendered picture in RGB."""

    def measure(model: nn.Module, batch: training.Batch) -> dict[str, Tensor]:
        rgb, lab, predicted = colorization.predict(model, batch[0], PRECISION)
        picture = color.picture(lab[:, :1], predicted)
        return {
            **colorization.protocol(loss, rgb, lab, predicted, PRECISION),
            "mse": (predicted - lab[:, 1:]).square().mean(),
            "rgb_ssim": metrics.ssim(picture, rgb).mean(),
            "rgb_psnr": metrics.psnr(picture, rgb).mean(),
            "colourfulness": metrics.colourfulness(picture).mean(),
            "original": metrics.colourfulness(rgb).mean(),
        }

    return measure


def evaluate(name: str, data: str, loss_name: str, threads: int) -> None:
    """Write metrics/<name>.json and grids/<name>.png from a colorizer's best weights and the test set."""
    device = training.prepare(0, threads)  # nothing is drawn
    model, description = load_colorizer(name, device)
    loss = colorization.load_loss(loss_name, data, PRECISION, device)
    images = arrays.load(paths.images(data, "test"), device)
    ours, trivial = (training.evaluate(each, task(loss), (images,), PROTOCOL_BATCH).means() for each in (model, NoColour()))
    result = {
        "data": data,
        "n": len(images),
        "seed": description["train"]["seed"],
        "start": description["start"],
        "best_epoch": description["row"]["epoch"],
        "loss": loss_name,
        **loss.identity,
        "test": {key: ours[key] for key in ("loss", "ssim", "psnr", "mse")},
        "rgb": {"ssim": ours["rgb_ssim"], "psnr": ours["rgb_psnr"], "colourfulness": ours["colourfulness"]},
        "no_colour": {key: trivial[key] for key in ("loss", "ssim", "psnr", "mse", "rgb_ssim", "rgb_psnr")},
        "original": {"colourfulness": ours["original"]},
    }
    path = paths.metrics(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{name}: test loss {ours['loss']:.4g}, {trivial['loss']:.4g} with no colour")

    chosen = images[torch.linspace(0, len(images) - 1, min(GRID_IMAGES, len(images))).long()]
    with torch.no_grad():
        rgb, lab, predicted = colorization.predict(model, chosen, PRECISION)
    L = lab[:, :1]
    rows = {"gray": color.picture(L, torch.zeros_like(predicted)), "predicted": color.picture(L, predicted), "original": rgb}
    grids.write(paths.grid(name), rows)
