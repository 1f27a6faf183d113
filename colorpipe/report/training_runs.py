"""The section of the page about training runs, machine, code and data."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from colorpipe import config, files
from colorpipe.runtime import machine

VERSIONS = ("Python", "torch", "numpy", "dvc")


def training_runs_table(names: Sequence[str]) -> pd.DataFrame:
    """Return one row per training run: its parameters, duration and end.

    If runs/ has no record of a run, the numbers are missing.

    Args:
        names: The training runs, as `files.curves_path` takes them.
    """
    rows = []
    for name in names:
        record = load_record(files.curves_path(name).read_bytes())
        rows.append(
            {
                "training": name,
                "million parameters": record.get("parameters", float("nan")) / 1e6,
                "minutes": record.get("seconds", float("nan")) / 60,
                "finished": record.get("finished", "no record")[:16],
            }
        )
    return pd.DataFrame(rows)


def run_facts(names: Sequence[str], data: Iterable[str], seeds: Iterable[int]) -> dict[str, str]:
    """Return where the runs took place, the code, the seeds and the sources of the data sets.

    Args:
        names: The training runs. Equal values of several runs are named once.
        data: The data sets.
        seeds: The seeds of the training runs.
    """
    loaded = [load_record(files.curves_path(name).read_bytes()) for name in names]
    records = [record for record in loaded if record]
    versions = [{key: record[key] for key in VERSIONS if key in record} for record in records]
    facts = {
        "Hardware": _join(record["hardware"] for record in records),
        "Versions": _join(", ".join(map(" ".join, used.items())) for used in versions),
        "Trained at commit": _join(record.get("commit", "") for record in records),
        "Page written": f"{time.strftime('%Y-%m-%d %H:%M')} at commit {machine.find_commit()}",
        "Seed": _join(map(str, seeds)),
    }
    params = config.load_params()
    for name in data:
        settings = params.data(name)
        facts[f"Data set {name}"] = f"{settings.source}, md5 {settings.md5 or 'not checked'}"
    return {name: text for name, text in facts.items() if text}


def load_record(history: bytes) -> dict[str, Any]:
    """Return the record of a training run, or an empty one if runs/ has none.

    Args:
        history: The content of the run's file in curves/.
    """
    path = files.run_record_path(history)
    record: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return record


def _join(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))
