"""Augmentation of training batches, on whole batches."""

import torch
from torch import Tensor


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image (B, C, H, W), left to right, with probability 1/2, drawn from `generator`."""
    flipped = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def random_shift(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Shift each image (B, C, H, W) by up to `most` pixels down and right, or up and left, drawn from `generator`.

    What comes into view is the image mirrored at its border; `most` is less than H and W.
    """
    count, _, *sides = images.shape
    offsets = torch.randint(
        -most, most + 1, (2, count, 1), generator=generator, device=images.device
    )
    places = [
        torch.arange(side, device=images.device) - offset
        for side, offset in zip(sides, offsets, strict=True)
    ]
    rows, columns = (
        _mirrored(place, side) for place, side in zip(places, sides, strict=True)
    )  # (B, H), (B, W)
    image = torch.arange(count, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def _mirrored(index: Tensor, side: int) -> Tensor:
    """Indices beyond 0..side - 1, reflected at the first and the last."""
    return (side - 1) - ((side - 1) - index.abs()).abs()
