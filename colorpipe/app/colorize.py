"""Colorizing an image of any size: the network sees a small L; its ab, enlarged, goes with the L of every pixel."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from colorpipe import weights
from colorpipe.color import gamut, lab
from colorpipe.data.dataset import Array
from colorpipe.models.colorizer import Colorizer, load_colorizer
from colorpipe.runtime import machine
from colorpipe.runtime.errors import UserError

MAX_SIZE = 4096  # pixels a side that a colorizer may claim to have been trained on
STRIP = 2**18  # pixels that are converted at a time


def load(path: Path, device_name: str, temperature: float | None = None) -> tuple[Colorizer, int]:
    """A colorizer in eval mode on a device ("auto": a GPU where there is one), and on how many pixels a side to use it.

    That is the size it was trained on, unless its metadata has a `colorize_size`. `temperature` is of the annealed mean of a
    colorizer that predicts shares of the 313 ab bins.
    """
    machine.keep_freed_memory()
    if device_name == "auto":
        device_name = "cuda" if torch.cuda.is_available() else "cpu"
    if device_name.split(":")[0] not in ("cpu", "cuda"):
        raise UserError(f"--device {device_name}: use cpu, cuda or cuda:<number>")
    try:
        device = torch.device(device_name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--device {device_name} cannot be used here: {str(error).splitlines()[0]}"
        ) from None
    if "classes" in weights.load_metadata(path):
        raise UserError(
            f"{path} is a classifier of the pretext task, not a colorizer: `colorpipe models` lists those"
        )
    model, metadata = load_colorizer(path, device)
    set_temperature(model, temperature, path)
    size = metadata.get("colorize_size", metadata.get("size"))
    if not (
        isinstance(size, list)
        and size
        and all(type(side) is int and 0 < side <= MAX_SIZE for side in size)
    ):
        raise UserError(
            f"{path} does not say on which size it was trained: train it again with `dvc repro`"
        )
    return model, max(size)


def set_temperature(model: Colorizer, temperature: float | None, path: Path) -> None:
    """Set the temperature of the annealed mean, if one is given. Raises UserError for a colorizer without one."""
    if temperature is None:
        return
    if model.head != "bins":
        raise UserError(
            f"--temperature: {path.stem if path.stem != 'best' else path.parent.name} predicts colors, not shares of the "
            "313 bins: leave it out, or use a --model that does, such as unet_rebalanced"
        )
    model.temperature = temperature


def colorize(model: Colorizer, rgb: Array, size: int) -> Array:
    """Colorize an image; every pixel keeps its lightness (`color.gamut.render_preserving_lightness`).

    Args:
        model: a colorizer in eval mode.
        rgb: the image, gray or not, (H, W, 3) uint8.
        size: the network sees L at about size * size pixels, in the image's aspect ratio.

    Returns:
        sRGB, (H, W, 3) uint8.

    Raises:
        UserError: the prediction is not finite.
    """
    height, width = rgb.shape[:2]
    device = next(model.parameters()).device
    with torch.no_grad():
        rows = max(1, STRIP // width)
        strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
        L = torch.empty(1, 1, height, width)
        for strip in strips:
            pixels = torch.from_numpy(rgb[strip]).to(device).permute(2, 0, 1)[None]
            L[:, :, strip] = lab.lightness(lab.from_bytes(pixels))
        small = F.interpolate(L, small_size(height, width, size), mode="bilinear", antialias=True)
        ab = model(small.to(device))  # (1, 2, h, w)
        if not ab.isfinite().all():
            raise UserError(
                "the colorizer's prediction is not finite: its weights are damaged; train it again with `dvc repro`"
            )
        result = np.empty_like(rgb)
        for strip, part in zip(strips, _enlarged(ab, height, width, strips), strict=True):
            image = gamut.render_preserving_lightness(L[:, :, strip].to(device), part)
            result[strip] = (image[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    return result


def small_size(height: int, width: int, size: int) -> tuple[int, int]:
    """The height and width in the same ratio with about size * size pixels."""
    scale = size / (height * width) ** 0.5
    return max(1, round(height * scale)), max(1, round(width * scale))


def _enlarged(ab: Tensor, height: int, width: int, strips: list[slice]) -> Iterator[Tensor]:
    """ab (1, 2, h, w) enlarged to (1, 2, height, width), bilinear, strip by strip: never in memory as a whole."""
    wide = F.interpolate(ab, (ab.shape[2], width), mode="bilinear")  # (1, 2, h, width)
    for strip in strips:
        rows = torch.arange(strip.start, strip.stop, device=ab.device) + 0.5
        position = (rows * ab.shape[2] / height - 0.5).clamp(
            0, ab.shape[2] - 1
        )  # among the rows of ab
        above = position.long()
        below = (above + 1).clamp(max=ab.shape[2] - 1)
        share = (position - above)[None, None, :, None]
        yield wide[:, :, above] * (1 - share) + wide[:, :, below] * share


def to_gray(rgb: Array) -> Array:
    """An image (H, W, 3) uint8 as the network sees it, its lightness alone: (H, W, 3) uint8."""
    gray = np.empty_like(rgb)
    rows = max(1, STRIP // rgb.shape[1])
    for top in range(0, len(rgb), rows):
        pixels = torch.from_numpy(rgb[top : top + rows]).permute(2, 0, 1)[None]
        L = lab.lightness(lab.from_bytes(pixels))
        image = gamut.render(L, L.new_zeros(1, 2, *L.shape[2:]))
        gray[top : top + rows] = (
            (image[0, 1] * 255).round().byte().numpy()[..., None]
        )  # R, G and B equal to the bit
    return gray
