"""Image metrics, one pure function each; its docstring says what is averaged over what.

`batch_ssim` and `batch_psnr` are the paper's protocol, for the training curves: torchmetrics' defaults on the ab planes,
with the data range of each batch. The others are the field's usual metrics, per image, on sRGB in 0..1. The test metrics of
the protocol are computed by torchmetrics itself (`evaluation.measure.protocol`).
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11  # pixels, the Gaussian window of Wang et al. 2004
SIGMA = 1.5  # pixels
AUC_FULL = 300  # of `within`: 2 * 150 Lab units


def batch_ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """SSIM of a batch (B, C, H, W), a scalar: torchmetrics' `structural_similarity_index_measure` with its defaults.

    The data range is the larger of max - min of the prediction and of the target, over the whole batch; windows at the
    border see the reflected image; the mean is over pixels, channels and images.
    """
    data_range = torch.maximum(predicted.max() - predicted.min(), target.max() - target.min())
    return _ssim_map(predicted, target, data_range, valid=False).mean()


def batch_psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """PSNR of a batch in dB, a scalar: torchmetrics' `peak_signal_noise_ratio`, with the data range of the target.

    The range is max - min of the target over the batch (torchmetrics' default in 2023, which it no longer has); the
    squared error is pooled over the batch.
    """
    data_range = target.max() - target.min()
    return 20 * torch.log10(data_range) - 10 * torch.log10(F.mse_loss(predicted, target))


def ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """SSIM of each image, (B, C, H, W) in 0..1 to (B,): scikit-image's, with Gaussian weights as in Wang et al. 2004.

    The mean is over channels and over the windows that lie inside the image.
    """
    return _ssim_map(predicted, target, torch.ones((), device=target.device), valid=True).mean(
        dim=(1, 2, 3)
    )


def psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """PSNR of each image in dB, (B, C, H, W) in 0..1 to (B,); equal images count as 100 dB."""
    squared_error = (predicted - target).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(squared_error.clamp(min=1e-10))


def colorfulness(rgb: Tensor) -> Tensor:
    """Colorfulness of each image, sRGB (B, 3, H, W) in 0..1 to (B,): M3 of Hasler and Suesstrunk 2003, on 0..255.

    0 is gray; the authors' viewers called 33 moderately and 59 quite colorful.
    """
    red, green, blue = (255 * rgb).flatten(2).unbind(1)  # (B, H * W) each
    opponents = torch.stack((red - green, (red + green) / 2 - blue))  # (2, B, H * W)
    spread = opponents.var(dim=-1, correction=0).sum(dim=0).sqrt()
    return spread + 0.3 * opponents.mean(dim=-1).square().sum(dim=0).sqrt()


def mae(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of each image in % of the range, (B, C, H, W) in 0..1 to (B,)."""
    return 100 * (predicted - target).abs().mean(dim=(1, 2, 3))


def within(predicted: Tensor, target: Tensor) -> Tensor:
    """The area under "share of pixels within t of the truth" that each pixel contributes (Zhang et al. 2016, AuC).

    Args:
        predicted: ab in Lab units, (B, 2, H, W).
        target: the true ab, likewise.

    Returns:
        (B, H, W) in 300ths, whole numbers: the area by trapezoids over t = 0, 1... 150 Lab units of a pixel whose distance
        from the truth is d: 300 for d = 0, 299 for d in 0..1, down to 1 for d in 149..150, and 0 beyond.
    """
    steps = (predicted - target).square().sum(dim=1).sqrt().ceil()
    return torch.where(steps > 0, AUC_FULL + 1 - 2 * steps, AUC_FULL).clamp(min=0)


def jensen_shannon(counts: Tensor, others: Tensor) -> float:
    """The Jensen-Shannon divergence of two histograms (N,) in bits: 0 for equal shares, 1 for disjoint ones."""
    p, q = counts / counts.sum(), others / others.sum()
    middle = (p + q) / 2
    nats = torch.special.xlogy(p, p / middle).nansum() + torch.special.xlogy(q, q / middle).nansum()
    return float(nats) / 2 / math.log(2)


def _ssim_map(predicted: Tensor, target: Tensor, data_range: Tensor, *, valid: bool) -> Tensor:
    """SSIM at each pixel (Wang et al. 2004, equation 13), the constants K1 = 0.01 and K2 = 0.03.

    The separable window is a matrix product from either side: exact, and on small images several times faster than the
    same convolution.
    """
    window = (
        _window if torch.compiler.is_compiling() else _cached_window
    )  # a compiler folds the constant itself
    rows, columns = (window(size, valid, target.device, target.dtype) for size in target.shape[-2:])
    stack = torch.stack(
        (predicted, target, predicted * predicted, target * target, predicted * target)
    )
    mean_p, mean_t, square_p, square_t, product = (rows @ stack @ columns.T).unbind()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    variance_p = (square_p - mean_p**2).clamp(min=0)
    variance_t = (square_t - mean_t**2).clamp(min=0)
    covariance = product - mean_p * mean_t
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_p + variance_t + c2)


def _window(size: int, valid: bool, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The Gaussian window as a matrix over one axis: (size, size), or just the rows of windows inside the image."""
    radius = WINDOW // 2
    if size <= (2 * radius if valid else radius):
        raise ValueError(
            f"SSIM needs images larger than {2 * radius if valid else radius} pixels, not {size}"
        )
    pixels = torch.arange(size, device=device)
    offsets = torch.arange(-radius, radius + 1, device=device)
    weights = torch.exp(-((offsets.double() / SIGMA) ** 2) / 2)
    source = pixels[:, None] + offsets
    source = (size - 1) - (
        source.abs() - (size - 1)
    ).abs()  # reflected at both borders, the edge not repeated
    matrix = ((source[:, :, None] == pixels) * (weights / weights.sum())[:, None]).sum(dim=1)
    return (matrix[radius:-radius] if valid else matrix).to(dtype)


_cached_window = functools.cache(_window)
