"""Set-up of the device, prediction, rendering, and averages over a set."""

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from colorpipe.color import gamut, lab
from colorpipe.losses.loss import Loss
from colorpipe.models.colorizer import Prediction
from colorpipe.runtime import machine

Metrics = dict[str, Tensor]  # scalars: means over a batch
Totals = tuple[dict[str, list[float]], int]  # sums over each batch, and the number of images


class Colorized(NamedTuple):
    """True images and the colorizer's prediction.

    Attributes:
        true_rgb: The true images as sRGB in [0, 1], (B, 3, H, W).
        true_lab: The true images in Lab, (B, 3, H, W).
        prediction: The output of the colorizer.
    """

    true_rgb: Tensor
    true_lab: Tensor
    prediction: Prediction

    @property
    def L(self) -> Tensor:
        """The lightness of the images, (B, 1, H, W) in [0, 100]."""
        return self.true_lab[:, :1]

    @property
    def true_ab(self) -> Tensor:
        """The true ab in Lab units, (B, 2, H, W)."""
        return self.true_lab[:, 1:]


def prepare_device(seed: int, threads: int, device: torch.device | None = None) -> torch.device:
    """Seed torch, set its threads, and switch to deterministic algorithms.

    Args:
        seed: Seed of torch's random generators.
        threads: CPU threads.
        device: The device to use, or None for a GPU if there is one.

    Returns:
        The device.
    """
    machine.keep_freed_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # makes cuBLAS deterministic
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # This mode also fills new tensors, for debugging only. That takes a fifth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False  # float32 has full precision on a GPU too
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    return device


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return a context with autocast to bfloat16 if `precision` is "bfloat16"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def predict(model: nn.Module, images: Tensor, precision: str = "float32") -> Colorized:
    """Colorize stored images.

    Args:
        model: A colorizer.
        images: Stored images, (B, 3, H, W) uint8 sRGB.
        precision: Precision of the network's arithmetic, "float32" or "bfloat16".
    """
    rgb = lab.uint8_to_float(images)
    target = lab.rgb_to_lab(rgb)
    with autocast(rgb.device, precision):
        L = target[:, :1].contiguous(memory_format=torch.channels_last)
        prediction: Prediction = model(L)
    return Colorized(rgb, target, prediction)


def compute_loss(loss: Loss, colorized: Colorized, precision: str = "float32") -> Tensor:
    """Return the loss of a prediction, a scalar."""
    prediction = colorized.prediction
    predicted = prediction.logits if loss.head == "bins" else prediction.ab
    with autocast(colorized.true_rgb.device, precision):
        value: Tensor = loss(predicted, colorized.true_lab, colorized.true_rgb)
    return value


@torch.no_grad()
def render(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Render stored images as "gray", "predicted" and "original".

    Args:
        model: A colorizer.
        images: Stored images, (B, 3, H, W) uint8 sRGB.

    Returns:
        sRGB images in [0, 1], (B, 3, H, W) each.
    """
    colorized = predict(model, images)
    gray = gamut.render(colorized.L, torch.zeros_like(colorized.true_ab))
    predicted = gamut.render(colorized.L, colorized.prediction.ab)
    return {"gray": gray, "predicted": predicted, "original": colorized.true_rgb}


class MetricAverager:
    """Means over the images of a set, from means over batches of different sizes."""

    def __init__(self) -> None:
        self.sums: list[Metrics] = []  # one entry per batch
        self.count = 0

    def update(self, means: Mapping[str, Tensor], size: int) -> None:
        """Add the means over a batch of `size` images. Nothing is read from the device."""
        self.sums.append({name: mean.detach().double() * size for name, mean in means.items()})
        self.count += size

    def totals(self) -> Totals:
        """Return each batch's sums and the number of images, read from the device."""
        names = self.sums[0] if self.sums else {}
        sums = {name: torch.stack([batch[name] for batch in self.sums]).tolist() for name in names}
        return sums, self.count


def average(totals: Iterable[Totals], prefix: str = "") -> dict[str, float]:
    """Return the means over all images, with `prefix` before each name.

    The sums are rounded correctly, so the order of the batches is irrelevant.
    """
    parts = list(totals)
    count = sum(images for _, images in parts)
    return {
        prefix + name: math.fsum(value for sums, _ in parts for value in sums.get(name, ())) / count
        for name in parts[0][0]
    }
