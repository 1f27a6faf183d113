"""A trained colorizer on the test set: the report's protocol, the field's usual numbers, and no colour beside both."""

import math

import torch
from torch import Tensor, nn

from colorpipe import arrays, color, colorization, files, gallery, grids, metrics, paths, training
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


def task(loss: nn.Module, errors: list[Tensor]) -> training.Measure:
    """What to measure on a batch: the protocol, the squared error of ab, and the rendered picture in RGB.

    The squared error of each image (B,) is appended to `errors`.
    """

    def measure(model: nn.Module, batch: training.Batch) -> dict[str, Tensor]:
        rgb, lab, predicted = colorization.predict(model, batch[0], PRECISION)
        picture = color.picture(lab[:, :1], predicted)
        squared = (predicted - lab[:, 1:]).square()
        errors.append(squared.mean(dim=(1, 2, 3)))
        return {
            **colorization.protocol(loss, rgb, lab, predicted, PRECISION),
            "mse": squared.mean(),
            "rgb_ssim": metrics.ssim(picture, rgb).mean(),
            "rgb_psnr": metrics.psnr(picture, rgb).mean(),
            "colourfulness": metrics.colourfulness(picture).mean(),
            "original": metrics.colourfulness(rgb).mean(),
        }

    return measure


def evaluate(name: str, data: str, loss_name: str, threads: int) -> None:
    """Test a colorizer's best weights on the test set: metrics/<name>.json, grids/<name>.png and galleries/<name>.json."""
    device = training.prepare(0, threads)  # nothing is drawn
    model, description = colorizer.load(paths.checkpoint(name, "best"), device)
    loss = colorization.load_loss(loss_name, data, PRECISION, device)
    images = arrays.load(paths.images(data, "test"), device)
    errors: list[Tensor] = []
    ours = training.evaluate(model, task(loss, errors), (images,), PROTOCOL_BATCH).means()
    if not math.isfinite(ours["loss"]):
        raise UserError(
            f"{paths.checkpoint(name, 'best')}: the test loss is {ours['loss']}: its weights are damaged; remove it and run "
            "`dvc repro`"
        )
    trivial = training.evaluate(NoColour(), task(loss, []), (images,), PROTOCOL_BATCH).means()
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
    files.write_json(paths.metrics(name), result)
    print(f"{name}: test loss {ours['loss']:.4g}, {trivial['loss']:.4g} with no colour")

    spread = torch.linspace(0, len(images) - 1, min(GRID_IMAGES, len(images))).long()
    grids.write(paths.grid(name), pictures(model, images[spread]))
    kinds = gallery.choose(torch.cat(errors).cpu(), description["train"]["seed"])
    numbers = sorted(set().union(*kinds.values()))
    shown = pictures(model, images[numbers])
    scores = {"mse": torch.cat(errors)[numbers], "psnr": metrics.psnr(shown["predicted"], shown["original"])}
    gallery.write(paths.gallery(name), kinds, numbers, scores, shown)


@torch.no_grad()
def pictures(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Stored images (B, 3, H, W) uint8 as shown, sRGB in 0..1: in gray, as `model` colours them, and as they are."""
    rgb, lab, predicted = colorization.predict(model, images, PRECISION)
    L = lab[:, :1]
    return {"gray": color.picture(L, torch.zeros_like(predicted)), "predicted": color.picture(L, predicted), "original": rgb}
