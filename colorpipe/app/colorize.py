"""Colorizing an image of any size.

The network sees the L of a small version, which is resized in RGB as the training images are. Its
ab is enlarged and combined with the L of every pixel.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from colorpipe import weights
from colorpipe.app.decoding import set_vividness
from colorpipe.app.options import MAX_SIZE
from colorpipe.color import gamut, lab
from colorpipe.data.dataset import Array
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import load_colorizer
from colorpipe.runtime import machine
from colorpipe.runtime.errors import UserError, one_line

STRIP_PIXELS = 2**18  # pixels that are converted at a time, to limit the memory


class PredictionError(UserError):
    """An error of the network. Its text does not name the photograph."""


def load_model(
    path: Path, device_name: str, vividness: float | None = None
) -> tuple[Colorizer, int]:
    """Load a colorizer for images of any size.

    Args:
        path: The weight file.
        device_name: "cpu", "cuda", "cuda:<number>", "mps" (an Apple GPU), or "auto" for a GPU if
            there is one.
        vividness: As in `decoding.set_vividness`.

    Returns:
        The colorizer in eval mode, and the number of pixels per side at which to use it. This is
        `colorize_size` of the metadata, or else the training size.

    Raises:
        UserError: The device, the weight file or the vividness cannot be used.
    """
    machine.keep_freed_memory()
    device = select_device(device_name)
    if "classes" in weights.load_metadata(path):
        raise UserError(
            f"{path} is a classifier of the pretext task, not a colorizer: use a name of "
            "`colorpipe models`"
        )
    model, metadata = load_colorizer(path, device)
    set_vividness(model, vividness, path, metadata)
    return model, _read_size(metadata, path)


def select_device(name: str) -> torch.device:
    """Return the device "cpu", "cuda", "cuda:<number>" or "mps". "auto" is a GPU if there is one.

    Raises:
        UserError: The device is unknown or unavailable.
    """
    if name == "auto":
        name = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else name
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UserError(f"--device {name}: use cpu, cuda, cuda:<number> or mps")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"--device {name}: PyTorch finds no Apple GPU: use cpu or auto")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        # PyTorch goes on with instructions and a URL.
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(
            f"--device {name}: {one_line(reason)}: use another device or auto"
        ) from None
    return device


def _read_size(metadata: dict[str, Any], path: Path) -> int:
    size = metadata.get("colorize_size", metadata.get("size"))
    sides = size if isinstance(size, list) and size else [None]
    if not all(type(side) is int and 0 < side <= MAX_SIZE for side in sides):
        raise UserError(f"{path}: its metadata has no valid training size: {weights.remedy(path)}")
    return int(max(sides))


def colorize(model: Colorizer, rgb: Array, size: int) -> Array:
    """Colorize an image. Every pixel keeps its lightness.

    Args:
        model: A colorizer in eval mode.
        rgb: The image, gray or in color, (H, W, 3) uint8.
        size: The network sees about size * size pixels, in the aspect ratio of the image.

    Returns:
        sRGB, (H, W, 3) uint8.

    Raises:
        PredictionError: The prediction is not finite.
    """
    height, width = rgb.shape[:2]
    device = next(model.parameters()).device
    strips = _split_rows(height, width)
    with torch.no_grad():
        L = torch.empty(1, 1, height, width)
        for rows in strips:
            L[:, :, rows] = _to_lightness(rgb[rows], device)
        ab = model(_to_lightness(shrink(rgb, size), device)).ab  # (1, 2, h, w)
        if not ab.isfinite().all():
            raise PredictionError(
                "the colorizer's prediction is not finite, so its weights are damaged: use another "
                "colorizer"
            )
        colored = np.empty_like(rgb)
        for rows, strip_ab in zip(strips, _enlarge(ab, height, width, strips), strict=True):
            image = gamut.render_preserving_lightness(L[:, :, rows].to(device), strip_ab)
            colored[rows] = (image[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    return colored


def to_gray(rgb: Array) -> Array:
    """Return the gray version of an image, (H, W, 3) uint8. Its lightness is what the network sees.

    Args:
        rgb: The image, (H, W, 3) uint8.
    """
    gray = np.empty_like(rgb)
    for rows in _split_rows(*rgb.shape[:2]):
        L = _to_lightness(rgb[rows], torch.device("cpu"))
        image = gamut.render(L, L.new_zeros(1, 2, *L.shape[2:]))
        # One channel for all three, because rounding can make the channels differ by 1.
        gray[rows] = (image[0, 1] * 255).round().byte().numpy()[..., None]
    return gray


def shrink(rgb: Array, size: int) -> Array:
    """Resize an image (H, W, 3), uint8, to about size * size pixels, as training images are."""
    height, width = small_size(rgb.shape[0], rgb.shape[1], size)
    return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))


def small_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width with the same ratio and about size * size pixels."""
    scale = size / (height * width) ** 0.5
    return max(1, round(height * scale)), max(1, round(width * scale))


def _split_rows(height: int, width: int) -> list[slice]:
    rows = max(1, STRIP_PIXELS // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def _to_lightness(rgb: Array, device: torch.device) -> Tensor:
    """Return L (1, 1, H, W) in [0, 100] of an image (H, W, 3) uint8."""
    pixels = torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None]
    return lab.lightness(lab.uint8_to_float(pixels))


def _enlarge(ab: Tensor, height: int, width: int, strips: list[slice]) -> Iterator[Tensor]:
    """Yield the strips of ab (1, 2, h, w) enlarged to (1, 2, height, width), bilinearly.

    F.interpolate would need memory for the whole enlarged ab.
    """
    wide = F.interpolate(ab, (ab.shape[2], width), mode="bilinear")  # (1, 2, h, width)
    last = ab.shape[2] - 1
    for strip in strips:
        rows = torch.arange(strip.start, strip.stop, device=ab.device) + 0.5
        position = (rows * ab.shape[2] / height - 0.5).clamp(0, last)  # among the rows of ab
        above = position.long()
        below = (above + 1).clamp(max=last)
        weight = (position - above)[None, None, :, None]
        yield wide[:, :, above] * (1 - weight) + wide[:, :, below] * weight
