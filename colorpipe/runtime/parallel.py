"""Work on many files at once, on all cores, in order and with bounded memory."""

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
MAX_PIXELS = 100_000_000  # of the images in memory at a time; a larger one is alone


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = WORKERS
) -> Iterator[Result]:
    """The function of each item, computed by threads, in the items' order; an error is raised in its item's place.

    At most twice as many items as there are workers, and one, are taken ahead: what they hold never fills the memory.
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
    """How many pixels may be in memory at a time, over all threads; an image with more than that has to be alone."""

    def __init__(self, pixels: int = MAX_PIXELS) -> None:
        self.pixels = self.free = pixels
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def spend(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image, and take it."""
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
