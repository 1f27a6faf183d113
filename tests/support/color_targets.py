"""Soft encodings of colors over all bins."""

import torch
from torch import Tensor

from colorpipe.color import bins


def encode_softly(ab: Tensor, neighbors: int = 5) -> Tensor:
    """Return the weight of each bin (B, 313, H, W) for ab (B, 2, H, W), with a sigma of 5."""
    bin_numbers, weights = bins.SoftEncoding(neighbors, 5.0)(ab.permute(0, 2, 3, 1).flatten(0, 2))
    encoded = torch.zeros(len(weights), bins.COUNT).scatter_(1, bin_numbers, weights)
    return encoded.view(len(ab), *ab.shape[2:], bins.COUNT).permute(0, 3, 1, 2)
