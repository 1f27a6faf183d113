"""The section of the page about the run: trainings, machine, code and data."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from colorpipe import config, files
from colorpipe.runtime import machine

VERSIONS = ("Python", "torch", "numpy", "dvc")


def trainings_table(names: Sequence[str]) -> pd.DataFrame:
    """Return the parameters, the minutes and the end of each training, if it ran on this machine.

    Args:
        names: The trainings, as `files.curves_path` takes them.
    """
    rows = []
    for name in names:
        record = _load_record(name)
        rows.append(
            {
                "training": name,
                "million parameters": record.get("parameters", float("nan")) / 1e6,
                "minutes": record.get("seconds", float("nan")) / 60,
                "finished": record.get("finished", "not run here")[:16],
            }
        )
    return pd.DataFrame(rows)


def run_facts(names: Sequence[str], data: Iterable[str], seeds: Iterable[int]) -> dict[str, str]:
    """Return where the trainings ran, the code, the seeds and the sources of the data sets.

    Args:
        names: The trainings. What several of them share is named once.
        data: The data sets.
        seeds: The seeds of the trainings.
    """
    records = [record for name in names if (record := _load_record(name))]
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


def _load_record(name: str) -> dict[str, Any]:
    """Return the record of a training, or an empty one if it did not run on this machine."""
    path = files.run_record_path(files.curves_path(name).read_bytes())
    record: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return record


def _join(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))
