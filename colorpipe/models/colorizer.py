"""The interface of all colorizers."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe.color import bins, lab

ENCODER = "encoder."  # prefix of the names of the encoder's weights


class Prediction(NamedTuple):
    """The output of a colorizer.

    Attributes:
        ab: ab in Lab units, (B, 2, H, W).
        logits: Logits over the color bins, (B, 313, h, w), at 1 / `logits_stride` of the
            resolution, if the colorizer has the head "bins".
    """

    ab: Tensor
    logits: Tensor | None = None


class Colorizer(nn.Module):
    """An encoder and a decoder that predict ab from L, at any height and width.

    If the height or width is not a multiple of `stride`, the border is replicated and the output is
    cropped. Logits are decoded with `alpha` and `temperature` (see `decode`).

    With the head "bins", the buffer `log_weights` (313,) holds the logarithms of the weights that
    the training loss gives to the bins. It is part of the weight file. Zeros mean equal weights.

    Args:
        encoder: Maps normalized L to features at 1 / `stride` of the resolution, or to a list of
            features whose last element has that resolution.
        decoder: Maps the features to normalized ab at full resolution, or to logits over the color
            bins at 1 / `logits_stride` of the resolution.
        channels: Channels of the (last) features.
        stride: Stride of the (last) features.
        head: "ab" or "bins".
        logits_stride: Pixels per logit, in each direction.
    """

    alpha = 0.0
    temperature = bins.TEMPERATURE
    log_weights: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        channels: int,
        stride: int,
        head: str = "ab",
        logits_stride: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.channels = channels
        self.stride = stride
        self.head = head
        self.logits_stride = logits_stride if head == "bins" else 1
        if head == "bins":
            self.register_buffer("log_weights", torch.zeros(bins.COUNT))

    def forward(self, L: Tensor) -> Prediction:
        """Predict ab, and the logits if there are any, from L (B, 1, H, W) in [0, 100]."""
        height, width = L.shape[-2:]
        L = pad_to_stride(L, self.stride)
        features = self.encoder(lab.normalize_L(L))  # (B, channels, H / stride, W / stride)
        output = self.decoder(features)
        if self.head == "ab":
            return Prediction(lab.denormalize_ab(output[..., :height, :width].float()))
        # Ceiling division. -(-side // factor) would be wrong in ONNX, which rounds toward zero.
        factor = self.logits_stride
        rows, columns = ((side + factor - 1) // factor for side in (height, width))
        logits = output[..., :rows, :columns].float()  # (B, 313, h, w)
        ab = self.decode(logits, self.temperature, self.alpha)
        return Prediction(ab[..., :height, :width], logits)

    def decode(self, logits: Tensor, temperature: float, alpha: float) -> Tensor:
        """Decode logits by the annealed mean of softmax((logits - alpha * log_weights) / T).

        Args:
            logits: Logits over the bins, (B, 313, h, w).
            temperature: T (see `bins.decode`).
            alpha: Share of the re-balancing that is undone. With 1, the probabilities are divided
                by the weights of the bins.

        Returns:
            ab in Lab units, (B, 2, s * h, s * w), with s = `logits_stride`.
        """
        if alpha:
            logits = logits - alpha * self.log_weights[:, None, None]
        ab = bins.decode(logits, temperature)
        return F.interpolate(ab, scale_factor=self.logits_stride, mode="bilinear")

    @torch.no_grad()
    def set_bin_weights(self, weights: Tensor | None, keep_colors: bool = False) -> None:
        """Store the weights that the training loss gives to the bins.

        A colorizer with the head "ab" stores nothing.

        Args:
            weights: The weights, (313,). None means equal ones.
            keep_colors: Whether to add log(new / stored) to the last bias, so that decoding with
                alpha = 1 gives the same colors as before. The logits must have been trained with
                the stored weights.
        """
        if self.head != "bins":
            return
        log_weights = torch.zeros_like(self.log_weights) if weights is None else weights.log()
        if keep_colors:
            *_, last = (m for m in self.decoder.modules() if isinstance(m, nn.Conv2d))
            assert last.bias is not None
            last.bias += log_weights - self.log_weights
        self.log_weights.copy_(log_weights)


def pad_to_stride(L: Tensor, stride: int) -> Tensor:
    """Replicate the border of L (B, 1, H, W), so that H and W become multiples of the stride."""
    height, width = L.shape[-2:]
    padding = (0, -width % stride, 0, -height % stride)
    return F.pad(L, padding, mode="replicate") if any(padding) else L
