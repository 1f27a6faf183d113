"""Start-up: `--help` and the imports of the stages, `dvc repro` with nothing to do, and a rerun of `report`."""

import subprocess
import sys
import time

from benchmarks.tables import Table, spread

# What each stage imports to run.
IMPORTS = {
    "check": "colorpipe.config",
    "download": "colorpipe.data.download",
    "split": "colorpipe.data.split",
    "train": "colorpipe.training.colorization",
    "controls": "colorpipe.evaluation.controls",
    "judge": "colorpipe.evaluation.judge",
    "evaluate": "colorpipe.evaluation.colorizers",
    "pretext": "colorpipe.evaluation.pretext",
    "report": "colorpipe.report.build",
}


def measure(rounds: int) -> Table:
    """Wall times of whole processes, in turn."""
    python = {f"imports of {name}": f"import {module}" for name, module in IMPORTS.items()}
    commands = {
        "an empty Python": [sys.executable, "-c", ""],
        "import torch": [sys.executable, "-c", "import torch"],
        **{name: [sys.executable, "-c", code] for name, code in python.items()},
        "dvc repro, nothing to do": ["dvc", "repro"],
        "dvc repro --force --single-item report": [
            "dvc",
            "repro",
            "--force",
            "--single-item",
            "report",
        ],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):  # the first round reads the files from disk
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if number:
                times[name].append(time.perf_counter() - start)
    rows = [
        {
            "process": name,
            "seconds": spread(found),
            "raw": {"seconds": found},
        }
        for name, found in times.items()
    ]
    return Table("Start-up", "Wall time of a whole process (median; lowest to highest).", rows)
