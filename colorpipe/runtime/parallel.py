"""Work on many files at once: on all cores, in order and with bounded memory."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MAX_PIXELS = 100_000_000  # in memory at a time; a larger image is in memory alone


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = WORKERS
) -> Iterator[Result]:
    """Yield the function's result for each item, in the order of the items.

    Threads compute the results. If the function raises an error for an item, the error is raised
    when it is the item's turn. At most 2 * `workers` + 1 items are taken ahead, so that waiting
    items do not fill the memory.

    Args:
        function: Function to call, from several threads at once.
        items: Arguments of the calls.
        workers: Number of threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class PixelBudget:
    """A limit on the pixels that all threads together have in memory.

    An image with more pixels than the limit is in memory alone.

    Args:
        pixels: The limit.
    """

    def __init__(self, pixels: int = MAX_PIXELS) -> None:
        self.pixels = self.free = pixels
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def spend(self, pixels: int) -> Iterator[None]:
        """Wait until an image with this many pixels fits, and reserve them during the block."""
        pixels = min(pixels, self.pixels)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()
