"""Start-up: the imports of each stage, `dvc repro` with nothing to do, and a rerun of `report` alone."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.tables import Table, spread

TARGET = "3"  # seconds, of a stage's imports


def measure(rounds: int) -> Table:
    """Wall times of whole processes, in turn."""
    stages = sorted(path.stem for path in Path("stages").glob("*.py") if path.stem != "__init__")
    python = {f"imports of stages/{name}.py": f"import stages.{name}" for name in stages}
    commands = {
        "an empty Python": [sys.executable, "-c", ""],
        "import torch": [sys.executable, "-c", "import torch"],
        **{name: [sys.executable, "-c", code] for name, code in python.items()},
        "dvc repro, nothing to do": ["dvc", "repro"],
        "dvc repro --force --single-item report": ["dvc", "repro", "--force", "--single-item", "report"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):  # the first reads the files from disk
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if number:
                times[name].append(time.perf_counter() - start)
    rows = [
        {
            "process": name,
            "seconds": spread(found),
            "target": TARGET if name in python else "",
            "raw": {"seconds": found},
        }
        for name, found in times.items()
    ]
    return Table("Start-up", "Wall time of a whole process (median; lowest to highest).", rows)
