"""Augmentation of training batches, on whole batches."""

import torch
from torch import Tensor


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image (B, C, H, W), left to right, with probability 1/2, drawn from `generator`."""
    flipped = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)
