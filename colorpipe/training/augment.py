"""Augmentation of whole training batches."""

import torch
from torch import Tensor


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image (B, C, H, W) from left to right with probability 1/2."""
    flipped = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def random_shift(images: Tensor, max_shift: int, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `max_shift` pixels in each direction.

    Pixels that come into view are reflected at the border.

    Args:
        images: Images, (B, C, H, W).
        max_shift: Largest shift in pixels, less than H and W.
        generator: Source of the random shifts.

    Returns:
        Images of the same shape.
    """
    count, _, *sides = images.shape
    device = images.device
    offsets = torch.randint(
        -max_shift, max_shift + 1, (2, count, 1), generator=generator, device=device
    )
    positions = [
        torch.arange(side, device=device) - offset
        for side, offset in zip(sides, offsets, strict=True)
    ]
    rows, columns = (  # (B, H) and (B, W)
        _reflect(position, side) for position, side in zip(positions, sides, strict=True)
    )
    image = torch.arange(count, device=device)[:, None, None]
    pixels = images.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return pixels.permute(0, 3, 1, 2)


def _reflect(index: Tensor, side: int) -> Tensor:
    """Reflect indices outside [0, side - 1] at the first and the last index."""
    return (side - 1) - ((side - 1) - index.abs()).abs()
