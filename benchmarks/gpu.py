"""On a GPU: every row's training as it is and compiled, in turn, its memory, and what in a step waits for the GPU."""

import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks.tables import Table, spread
from benchmarks.throughput import Worker
from benchmarks.worker import all_tasks
from colorpipe import config

WAYS = ("colorpipe", "compiled")
STEPS = 300


def measure(rounds: int, tasks: Sequence[str] = (), steps: int = STEPS) -> Table:
    """Images a second of every row of 32x32 images and of the classifier; all processes warm up at the same time."""
    table = config.load_colorizers()
    tasks = tasks or all_tasks()
    sides = [
        (task, way)
        for task in tasks
        for way in WAYS
        if way == WAYS[0] or not is_adversarial(table.get(task, {}))
    ]
    with ExitStack() as stack, ThreadPoolExecutor(len(sides)) as pool:
        workers = {side: stack.enter_context(Worker(*side)) for side in sides}
        for warm in [pool.submit(worker.ask, 3) for worker in workers.values()]:
            warm.result()
        rows = []
        for task in tasks:
            own = {way: workers[task, way] for way in WAYS if (task, way) in workers}
            found = [{way: worker.ask(steps) for way, worker in own.items()} for _ in range(rounds)]
            gpu = {way: worker.ask("gpu") for way, worker in own.items()}
            waits = {line: count for line, count in gpu["colorpipe"].items() if line != "MB"}
            compiled = [one["compiled"] for one in found if "compiled" in one]
            row = {
                "task": task,
                "images/s": f"{statistics.median(one['colorpipe'] for one in found):.0f}",
                "compiled": f"{statistics.median(compiled):.0f}" if compiled else "",
                "ratio": spread([one["compiled"] / one["colorpipe"] for one in found])
                if compiled
                else "",
                "memory (MB)": f"{gpu['colorpipe']['MB']:.0f}",
                "waits a step": f"{sum(waits.values()):.2f}",
            }
            print(row, waits, file=sys.stderr, flush=True)
            rows.append({**row, "raw": {"rounds": found, "gpu": gpu}})
    caption = (
        f"Batch 64, 32x32, {steps} steps in turn: medians of the rounds, and of their ratios, lowest to highest. "
        "Memory is what torch allocated at most, the images included; waits are those that torch's sync debug mode reports."
    )
    return Table("On a GPU", caption, rows)


def is_adversarial(row: dict[str, str]) -> bool:
    """Whether two networks take turns in a step, which is not compiled."""
    return row.get("task") == "adversarial"
