"""One process with two threads against two processes with one thread each, which share every batch."""

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.tables import Table, spread
from benchmarks.throughput import Worker
from benchmarks.worker import all_tasks

COUNT = 2
STEPS = {
    "resnet": 30,
    "resnet_lpips": 6,
    "resnet_rebalanced": 25,
    "densenet": 15,
    "eccv": 4,
    "eccv_rebalanced": 4,
}
STEPS |= {"unet": 12, "unet_gan": 6, "classifier": 40}
OTHERS = 10  # steps of any other row


def measure(rounds: int, tasks: Sequence[str] = ()) -> Table:
    """Images a second of every task, in turn."""
    rows = []
    for task in tasks or all_tasks():
        count = STEPS.get(task, OTHERS)
        with ExitStack() as stack:
            alone = [stack.enter_context(Worker(task, "colorpipe"))]
            group = [
                stack.enter_context(Worker(task, f"colorpipe-{COUNT}", environment))
                for environment in environments()
            ]
            sides = {"one": alone, "two": group}
            for workers in sides.values():
                ask(workers, 3)  # to warm up
            found = [
                {name: ask(workers, count) for name, workers in sides.items()}
                for _ in range(rounds)
            ]
        row = {
            "task": task,
            "1 process, 2 threads": spread([one["one"] for one in found], digits=0),
            "2 processes, 1 thread": spread([one["two"] for one in found], digits=0),
            "ratio": spread([one["two"] / one["one"] for one in found]),
        }
        print(row, file=sys.stderr, flush=True)
        rows.append({**row, "raw": {"rounds": found}})
    caption = (
        "Images a second, batch 64, 32x32; each of two processes takes half of a batch (train.shards=2), and they "
        "exchange gradients through gloo. Medians of the rounds, lowest to highest; the ratio is that of the same round."
    )
    return Table("One process or two", caption, rows)


def environments() -> list[dict[str, str]]:
    """What a launcher would set, for each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "WORLD_SIZE": str(COUNT),
        }
    return [{**os.environ, **address, "RANK": str(rank)} for rank in range(COUNT)]


def ask(workers: list[Worker], question: object) -> float:
    """The answer of the first, while all work on it."""
    for worker in workers[1:]:
        worker.send(question)
    return workers[0].ask(question)
