"""Batches of a data set that is on the device as a whole. Each batch is selected by index."""

from collections.abc import Iterator

from torch import Tensor
from tqdm import tqdm

from colorpipe.training import processes

Batch = tuple[Tensor, ...]  # images and, for example, their labels; a whole set has the same form


def batches(
    tensors: Batch,
    size: int,
    order: Tensor | None = None,
    title: str | None = None,
    min_rows: int = 1,
) -> Iterator[Batch]:
    """Yield batches of `size` rows. The last batch holds the rest.

    Args:
        tensors: Tensors of equal length.
        size: Rows per batch.
        order: The order of the rows, or None for their own order.
        title: Title of a progress bar, or None for no progress bar.
        min_rows: A rest of fewer rows joins the batch before it, because BatchNorm needs at least
            two values per channel.
    """
    count = len(tensors[0])
    starts = batch_starts(count, size, min_rows)
    hidden = True if processes.rank() else None  # None hides the bar if stderr is not a terminal
    bar = tqdm(starts, title, unit="batch", leave=False, disable=hidden) if title else starts
    for start in bar:
        end = count if start == starts[-1] else start + size
        index = slice(start, end) if order is None else order[start:end]
        yield tuple(tensor[index] for tensor in tensors)


def batch_starts(count: int, size: int, min_rows: int = 1) -> list[int]:
    """Return the indices of `count` rows at which batches start (see `batches`)."""
    starts = list(range(0, count, size))
    return starts[:-1] if 0 < count % size < min_rows and len(starts) > 1 else starts
