"""Image metrics, one pure function each. Each docstring says what is averaged over what.

`batch_ssim` and `batch_psnr` are for the training curves. They equal torchmetrics' defaults on the
ab planes, with the data range of each batch. The other functions are the field's usual metrics: per
image on sRGB in [0, 1], and on ab or its histograms. The paper's metrics on the test set are
computed by torchmetrics itself (`evaluation.measure.EvaluationBatch`).
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11  # pixels; the Gaussian window of Wang et al. 2004
SIGMA = 1.5  # pixels
METRIC_BATCH_SIZE = 64  # images that share the data range of the paper's SSIM and PSNR
AUC_FULL = 300  # `auc_area` of a perfect prediction: twice the length of the t axis in Lab units


def batch_ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the SSIM of a batch, as torchmetrics does with its defaults.

    The data range is max - min of the prediction or of the target, whichever is larger, over the
    batch. At the border, the windows see the reflected image. The mean is over pixels, channels and
    images.

    Args:
        predicted: Predicted images, (B, C, H, W).
        target: True images of the same shape.

    Returns:
        A scalar.
    """
    predicted_range = predicted.max() - predicted.min()
    data_range = torch.maximum(predicted_range, target.max() - target.min())
    return _ssim_map(predicted, target, data_range, valid=False).mean()


def batch_psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the PSNR of a batch in dB, as torchmetrics did by default in 2023.

    The data range is max - min of the target over the batch. The squared error is pooled over the
    batch.

    Args:
        predicted: Predicted images, (B, C, H, W).
        target: True images of the same shape.

    Returns:
        A scalar.
    """
    data_range = target.max() - target.min()
    return 20 * torch.log10(data_range) - 10 * torch.log10(F.mse_loss(predicted, target))


def ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute each image's SSIM, as scikit-image does with Gaussian weights (Wang et al. 2004).

    The mean is over channels and over the windows that lie inside the image.

    Args:
        predicted: Predicted images in [0, 1], (B, C, H, W).
        target: True images of the same shape.

    Returns:
        SSIM, (B,).
    """
    data_range = torch.ones((), device=target.device)
    return _ssim_map(predicted, target, data_range, valid=True).mean(dim=(1, 2, 3))


def psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the PSNR of each image in dB. Equal images have 100 dB.

    Args:
        predicted: Predicted images in [0, 1], (B, C, H, W).
        target: True images of the same shape.

    Returns:
        PSNR, (B,).
    """
    squared_error = (predicted - target).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(squared_error.clamp(min=1e-10))


def colorfulness(rgb: Tensor) -> Tensor:
    """Compute the colorfulness of each image: M3 of Hasler and Suesstrunk 2003, on [0, 255].

    A gray image has 0. The authors' viewers called 33 moderately and 59 quite colorful.

    Args:
        rgb: sRGB images in [0, 1], (B, 3, H, W).

    Returns:
        Colorfulness, (B,).
    """
    red, green, blue = (255 * rgb).flatten(2).unbind(1)  # (B, H * W) each
    opponents = torch.stack((red - green, (red + green) / 2 - blue))  # (2, B, H * W)
    deviation = opponents.var(dim=-1, correction=0).sum(dim=0).sqrt()
    return deviation + 0.3 * opponents.mean(dim=-1).square().sum(dim=0).sqrt()


def mae(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute error of each image in percent of the range.

    Args:
        predicted: Predicted images in [0, 1], (B, C, H, W).
        target: True images of the same shape.

    Returns:
        Errors in percent, (B,).
    """
    return 100 * (predicted - target).abs().mean(dim=(1, 2, 3))


def auc_area(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute each pixel's contribution to the AuC of Zhang et al. 2016, times 2.

    The AuC is the area under the curve of the share of pixels within t of the truth. The area is
    computed by trapezoids over t = 0, 1, ..., 150 Lab units. It is doubled, so that it is a whole
    number.

    Args:
        predicted: Predicted ab in Lab units, (B, 2, H, W).
        target: True ab of the same shape.

    Returns:
        Whole numbers from 0 to 300, (B, H, W). A pixel at distance d from the truth has 300 if d is
        0, 299 if d is in (0, 1], and so on down to 1 if d is in (149, 150], and 0 beyond.
    """
    steps = (predicted - target).square().sum(dim=1).sqrt().ceil()
    return torch.where(steps > 0, AUC_FULL + 1 - 2 * steps, AUC_FULL).clamp(min=0)


def jensen_shannon(counts: Tensor, other_counts: Tensor) -> float:
    """Compute the Jensen-Shannon divergence of two histograms (N,) in bits.

    Equal histograms have 0. Disjoint histograms have 1.
    """
    p, q = counts / counts.sum(), other_counts / other_counts.sum()
    mean = (p + q) / 2
    nats = torch.special.xlogy(p, p / mean).nansum() + torch.special.xlogy(q, q / mean).nansum()
    return float(nats) / 2 / math.log(2)


def _ssim_map(predicted: Tensor, target: Tensor, data_range: Tensor, *, valid: bool) -> Tensor:
    """Compute SSIM at each pixel (Wang et al. 2004, equation 13) with K1 = 0.01 and K2 = 0.03.

    The separable window is applied as a matrix product on each axis. That is exact, and on small
    images several times faster than a convolution.
    """
    # A compiler folds the constant itself.
    make_window = _window if torch.compiler.is_compiling() else _cached_window
    rows, columns = (
        make_window(size, valid, target.device, target.dtype) for size in target.shape[-2:]
    )
    products = (predicted * predicted, target * target, predicted * target)
    stack = torch.stack((predicted, target, *products))
    mean_p, mean_t, square_p, square_t, product = (rows @ stack @ columns.T).unbind()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    variance_p = (square_p - mean_p**2).clamp(min=0)
    variance_t = (square_t - mean_t**2).clamp(min=0)
    covariance = product - mean_p * mean_t
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_p + variance_t + c2)


def _window(size: int, valid: bool, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the Gaussian window as a matrix (size, size) over one axis.

    If `valid`, return only the rows whose windows lie inside the image.
    """
    radius = WINDOW // 2
    smallest = 2 * radius if valid else radius
    if size <= smallest:
        raise ValueError(f"SSIM needs images larger than {smallest} pixels, not {size}")
    pixels = torch.arange(size, device=device)
    offsets = torch.arange(-radius, radius + 1, device=device)
    weights = torch.exp(-((offsets.double() / SIGMA) ** 2) / 2)
    source = pixels[:, None] + offsets
    source = (size - 1) - (source.abs() - (size - 1)).abs()  # reflected, without repeating the edge
    matrix = ((source[:, :, None] == pixels) * (weights / weights.sum())[:, None]).sum(dim=1)
    return (matrix[radius:-radius] if valid else matrix).to(dtype)


_cached_window = functools.cache(_window)
