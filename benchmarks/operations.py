"""Single operations beside the packages that people use for them: LPIPS and sRGB to Lab, on one batch."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping

import kornia
import numpy as np
import torch
from skimage.color import rgb2lab
from torch import Tensor

from benchmarks import notebook
from benchmarks.tables import Table, spread
from benchmarks.worker import images
from colorpipe import config
from colorpipe.color import bins
from colorpipe.color import lab as color
from colorpipe.losses import lpips
from colorpipe.training import devices
from colorpipe.training.colorization import cast_frozen

CALLS = 5  # per round, for operations of milliseconds


def alternate(
    ways: Mapping[str, Callable[[], object]], rounds: int, calls: int = 1
) -> dict[str, list[float]]:
    """Milliseconds of each way, in turn, after one call to warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, call in ways.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                times[name].append(1000 * (time.perf_counter() - start) / calls)
    return times


def photographs(device: torch.device) -> Tensor:
    """A batch of the bundled photographs, sRGB (B, 3, 32, 32) in 0..1."""
    return color.from_bytes(
        torch.from_numpy(images(config.load_params().train.batch_size)[0]).to(device)
    )


def perceptual(rounds: int) -> Table:
    """The LPIPS loss, value and gradient, beside the lpips package as its README shows it and as fast as it goes."""
    params = config.load_params()
    device = devices.prepare(params.seed, params.threads)
    reference = photographs(device)
    predicted = (reference + 0.1 * torch.randn(reference.shape, device=device)).clamp(0, 1)
    prior = torch.full((bins.COUNT,), 1 / bins.COUNT)  # of no use to LPIPS
    ours = {
        precision: lpips.build({}, {"weights": "random", "random_seed": 0}, prior)
        for precision in ("float32", "bfloat16")
    }
    package = notebook.lpips_package().to(device)
    package.net.load_state_dict(ours["float32"].package.net.state_dict())  # one VGG for all
    exact = copy.deepcopy(package).double()
    fast = copy.deepcopy(package).to(memory_format=torch.channels_last)

    def autocast(rgb: Tensor) -> Tensor:
        images = (
            image.contiguous(memory_format=torch.channels_last)
            for image in (2 * rgb - 1, 2 * reference - 1)
        )
        with devices.autocast(device, "bfloat16"):
            return fast(*images).mean()

    losses = {
        "lpips": lambda rgb: package(2 * rgb - 1, 2 * reference - 1).mean(),
        "lpips, channels_last, bfloat16": autocast,
        **{
            f"colorpipe, {precision}": _ours(loss, reference, precision)
            for precision, loss in ours.items()
        },
    }

    def both(loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        rgb = predicted.clone().requires_grad_()
        value = loss(rgb)
        value.backward()
        return value.detach(), rgb.grad

    values = {name: both(loss) for name, loss in losses.items()}
    exactly = both(lambda rgb: exact(2 * rgb.double() - 1, 2 * reference.double() - 1).mean())
    times = alternate({name: lambda loss=loss: both(loss) for name, loss in losses.items()}, rounds)
    rows = []
    for name in losses:
        errors = [
            float((one - other).norm() / other.norm())
            for one, other in zip(values[name], exactly, strict=True)
        ]
        ratios = [theirs / mine for mine, theirs in zip(times[name], times["lpips"], strict=True)]
        rows.append(
            {
                "LPIPS, value and gradient": name,
                "ms": f"{statistics.median(times[name]):.0f}",
                "times as fast": "" if name == "lpips" else spread(ratios),
                "relative error of the value": f"{errors[0]:.1e}",
                "of the gradient": f"{errors[1]:.1e}",
                "raw": {"ms": times[name]},
            }
        )
    caption = (
        "A batch of 64 at 32x32 against itself with noise, VGG-16, the same random weights. `lpips` is the package as "
        "its README shows it, in float32; the second row, with autocast. Errors are of norms, against the "
        "package in float64. Training uses bfloat16."
    )
    return Table("LPIPS", caption, rows)


def _ours(loss: lpips.LPIPS, reference: Tensor, precision: str) -> Callable[[Tensor], Tensor]:
    loss = cast_frozen(loss, precision).to(reference.device)

    def value(rgb: Tensor) -> Tensor:
        with devices.autocast(rgb.device, precision):
            return loss.distance(rgb, reference).mean()

    return value


def lab(rounds: int) -> Table:
    """A batch from sRGB to Lab, beside scikit-image and kornia; errors against scikit-image in float64."""
    params = config.load_params()
    rgb = photographs(devices.prepare(params.seed, params.threads))
    samples = rgb.permute(0, 2, 3, 1).cpu().numpy()
    exact = rgb2lab(samples.astype(np.float64)).transpose(0, 3, 1, 2)
    ways = {
        "colorpipe": lambda: color.rgb_to_lab(rgb),
        "kornia": lambda: kornia.color.rgb_to_lab(rgb),
        "scikit-image, the batch at once": lambda: rgb2lab(samples).transpose(0, 3, 1, 2),
        "scikit-image, a sample at a time": lambda: np.stack(
            [rgb2lab(sample) for sample in samples]
        ).transpose(0, 3, 1, 2),
    }
    times = alternate(ways, rounds, CALLS)
    rows = []
    for name, way in ways.items():
        error = np.abs(
            np.asarray(way().cpu() if isinstance(way(), Tensor) else way(), dtype=np.float64)
            - exact
        ).max()
        ratios = [
            theirs / ours for ours, theirs in zip(times["colorpipe"], times[name], strict=True)
        ]
        rows.append(
            {
                "sRGB to Lab": name,
                "ms": f"{statistics.median(times[name]):.2f}",
                "colorpipe is faster by": "" if name == "colorpipe" else spread(ratios),
                "largest error (Lab units)": f"{error:.1e}",
                "raw": {"ms": times[name]},
            }
        )
    caption = "A batch of 64 at 32x32, float32. The error is against scikit-image in float64, whose constants colorpipe uses."
    return Table("Lab", caption, rows)
