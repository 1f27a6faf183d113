"""Batches of a set that lies on the device as a whole: an index into it."""

from collections.abc import Iterator

from torch import Tensor
from tqdm import tqdm

from colorpipe.training import processes

Batch = tuple[Tensor, ...]  # of images and what belongs to them; a whole set has the same form


def batches(
    tensors: Batch, size: int, order: Tensor | None = None, title: str | None = None, least: int = 1
) -> Iterator[Batch]:
    """Batches of `size` rows, the last one with the rest; in training in a given order, with a progress bar.

    A rest of fewer than `least` joins the batch before it: BatchNorm has no variance over one value a channel.
    """
    count = len(tensors[0])
    starts = batch_starts(count, size, least)
    hidden = True if processes.rank() else None  # None: where the output is no terminal
    for start in (
        tqdm(starts, title, unit="batch", leave=False, disable=hidden) if title else starts
    ):
        end = count if start == starts[-1] else start + size
        index = slice(start, end) if order is None else order[start:end]
        yield tuple(tensor[index] for tensor in tensors)


def batch_starts(count: int, size: int, least: int = 1) -> list[int]:
    """Where the batches of `count` images begin."""
    starts = list(range(0, count, size))
    return starts[:-1] if 0 < count % size < least and len(starts) > 1 else starts
