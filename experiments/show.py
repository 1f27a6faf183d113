"""Experiments as tables that fit a terminal of 100 columns: what each changed, and the results that differ: `make show`.

`dvc exp show` has a column for every number of every row.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd

from colorpipe.report.tables import SCORES
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main

METRICS = "metrics/"
COLUMNS = {key: column for column, (key, _) in SCORES.items()} | {"top1": "accuracy"}


def main() -> None:
    """Print the committed results, and those of each experiment that differ from the commit it started from."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "show", "--json"], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"dvc exp show: {done.stderr.strip().splitlines()[-1]}")
    print("\n\n".join(blocks(json.loads(done.stdout))))


def blocks(shown: list[dict[str, Any]]) -> Iterator[str]:
    """A title and a table for the workspace where it differs, each commit, and each of its experiments."""
    workspace, *commits = shown
    head = commits[0] if commits else workspace
    for commit in commits:
        yield f"{commit['name'] or commit['rev'][:7]}\n{table(metrics(commit))}"
        for experiment in commit["experiments"] or ():
            yield block(experiment["revs"][0] | {"state": experiment["executor"]}, commit)
    if metrics(workspace) != metrics(head) or parameters(workspace) != parameters(head):
        yield block(workspace, head)


def block(revision: dict[str, Any], commit: dict[str, Any]) -> str:
    """An experiment: its name, its parameters that differ from the commit's, and its results that do."""
    state = (revision.get("state") or {}).get("state", "success")
    old, new = parameters(commit), parameters(revision)
    changed = ", ".join(f"{key}={value}" for key, value in new.items() if value != old.get(key))
    name = revision.get("name") or revision["rev"][:9]  # "workspace" has nine letters
    if not new:  # it has not run
        return f"{name}: {state.lower()}"
    title = f"{name}: {changed or 'the same parameters'}"
    found, before = metrics(revision), metrics(commit)
    different = {row: values for row, values in found.items() if values != before.get(row)}
    if not different:
        return f"{title}\n{'no results differ' if state == 'success' else state.lower()}"
    return f"{title}\n{table(different)}"


def parameters(revision: dict[str, Any]) -> dict[str, Any]:
    """The parameters by their dotted names."""
    return flat(((revision.get("data") or {}).get("params") or {}).get("params.yaml"))


def flat(file: dict[str, Any] | None) -> dict[str, Any]:
    """The values of a file that DVC read, by their dotted names; empty where it is missing."""
    content = (file or {}).get("data")
    return dict(pd.json_normalize(content).iloc[0]) if content else {}


def metrics(revision: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each row, by column."""
    found = {}
    for path, content in ((revision.get("data") or {}).get("metrics") or {}).items():
        numbers = flat(content)
        row = {column: numbers[key] for key, column in COLUMNS.items() if key in numbers}
        if path.startswith(METRICS) and row:
            found[path.removeprefix(METRICS).removesuffix(".json")] = row
    return found


def table(rows: dict[str, dict[str, float]]) -> str:
    """The rows with four significant digits."""
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=None)
    frame = frame[[column for column in COLUMNS.values() if column in frame]]
    return frame.to_string(float_format="{:.4g}".format, na_rep="")


if __name__ == "__main__":
    run_main(main)
