"""Measure everything, print it, and write benchmarks/RESULTS.md and results.json: `make bench`."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks import album, gpu, memory, operations, processes, startup, throughput
from colorpipe import config
from colorpipe.runtime.machine import describe
from colorpipe.runtime.process import run_main

ROUNDS = 5
FOLDER = Path("benchmarks")


def main() -> None:
    """About half an hour on two cores."""
    params = config.load_params()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    about = {
        **describe(),
        "threads": str(params.threads),
        "precision": params.train.precision,
        "commit": commit,
    }
    tables = []
    on_gpu = [("on a GPU", lambda: gpu.measure(ROUNDS))] if torch.cuda.is_available() else []
    for title, measure in (
        ("throughput", lambda: throughput.measure(ROUNDS)),
        ("processes", lambda: processes.measure(ROUNDS)),
        ("LPIPS", lambda: operations.perceptual(ROUNDS)),
        ("Lab", lambda: operations.lab(ROUNDS)),
        ("start-up", lambda: startup.measure(ROUNDS)),
        ("memory", memory.measure),
        ("an album", album.measure),
        *on_gpu,
    ):
        print(f"measuring: {title}", file=sys.stderr, flush=True)
        tables.append(measure())
    on = ", ".join(
        f"{name} {value}" if name not in ("hardware", "system") else value
        for name, value in about.items()
    )
    text = "\n\n".join(
        ["# How fast it is", f"`make bench` on {on}.", *(table.markdown() for table in tables)]
    )
    (FOLDER / "RESULTS.md").write_text(text + "\n")
    results = {"about": about, **{table.title: table.rows for table in tables}}
    (FOLDER / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    run_main(main)
