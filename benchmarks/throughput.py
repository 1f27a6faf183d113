"""Training throughput: colorpipe's loop and the notebook in turn, each in a process of its own."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

from benchmarks.tables import Table, spread

WAYS = ("colorpipe", "notebook-0", "notebook-2")
STEPS = {
    "resnet": 30,
    "densenet": 15,
    "eccv": 4,
    "resnet_lpips": 6,
    "classifier": 40,
}  # about two seconds of ours


class Worker:
    """A process of benchmarks/worker.py."""

    def __init__(self, task: str, way: str, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", task, way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def send(self, question: object) -> None:
        """A line for it."""
        print(question, file=self.process.stdin, flush=True)

    def ask(self, question: object) -> float | dict[str, float]:
        """Its answer to a line."""
        self.send(question)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(
                f"{' '.join(self.process.args)} ended without an answer: run it in a shell to see why"
            )
        return json.loads(answer)


def measure(rounds: int, steps: Mapping[str, int] = STEPS) -> Table:
    """Images a second of every task; the ratio is to the better of the notebook's two, round by round."""
    rows = []
    for task, count in steps.items():
        with (
            Worker(task, WAYS[0]) as ours,
            Worker(task, WAYS[1]) as alone,
            Worker(task, WAYS[2]) as helped,
        ):
            workers = dict(zip(WAYS, (ours, alone, helped), strict=True))
            for worker in workers.values():
                worker.ask(3)  # to warm up
            found = [
                {way: worker.ask(count) for way, worker in workers.items()} for _ in range(rounds)
            ]
            shares = ours.ask("profile")
        ratios = [one["colorpipe"] / max(one["notebook-0"], one["notebook-2"]) for one in found]
        medians = {way: statistics.median(one[way] for one in found) for way in WAYS}
        row = {
            "task": task,
            "colorpipe": f"{medians['colorpipe']:.0f}",
            "notebook, no workers": f"{medians['notebook-0']:.0f}",
            "notebook, 2 workers": f"{medians['notebook-2']:.0f}",
            "ratio": spread(ratios),
            "where colorpipe's time goes": ", ".join(
                f"{group} {share:.0%}" for group, share in shares.items()
            ),
        }
        print(row, file=sys.stderr, flush=True)
        rows.append({**row, "raw": {"rounds": found, "shares": shares}})
    caption = (
        "Images a second, batch 64, 32x32: medians of the rounds, each of which runs the three in turn. The ratio is "
        "to the better notebook of the same round (median; lowest to highest). Shares of the processor's "
        "time, of four profiled steps."
    )
    return Table("Training throughput", caption, rows)
