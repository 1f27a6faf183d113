"""Read DVC experiments: parameters, test results, training histories, decodings and test images."""

import contextlib
import fnmatch
import functools
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dvc import api
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.scm import SCMError
from dvc.stage import PipelineStage
from dvc_data.index import DataIndexDirError

from colorpipe import config, files
from colorpipe.evaluation.table import METRICS
from colorpipe.report.results import flatten, loss_label, stack_curves
from colorpipe.report.tables import GRAY_BASELINE
from colorpipe.report.training_runs import load_record
from colorpipe.runtime.errors import UserError, one_line

IDENTITY = ["colorizer", "seed", "data", "settings"]  # the columns that identify a result
CURVE_KEYS = ["experiment", "commit", "colorizer", "seed", "data"]  # identify a training history
FOLDERS = {"evaluate": "", "baseline": "baseline/", "pretext": "pretext/"}  # metrics/ by stage
METRIC_KEYS = {metric.key for metric in METRICS}
RECORD = ("parameters", "device", "hardware", "torch", "threads", "seconds")  # where it ran
SOURCE_KEYS = (".source", ".md5", ".sha256")  # endings of parameters that name a file
PLACEHOLDER = "..."  # replaces the value of such a parameter in results.csv
# The images on which decodings are measured, by their key in evaluations/.
DECODINGS = {"decodings": "validation", "test_vividness": "test"}


class Collection(NamedTuple):
    """The results of experiments.

    Attributes:
        results: The rows of results.csv.
        curves: The rows of curves.csv, the training histories.
        decodings: The rows of decodings.csv.
        images: The grid of test images of the first seed as PNG, by colorizer, data set and
            settings.
    """

    results: pd.DataFrame
    curves: pd.DataFrame
    decodings: pd.DataFrame
    images: dict[tuple[str, str, str], bytes]


class Experiment(NamedTuple):
    """A DVC experiment, or the workspace.

    Attributes:
        name: The experiment's name.
        files: Its files, in git and in DVC's cache.
        commit: The commit that it was run from.
        params: Its parameters by dotted key.
        changes: The parameters that differ from HEAD's, except the seed.
    """

    name: str
    files: api.DVCFileSystem
    commit: str
    params: dict[str, Any]
    changes: dict[str, Any]


@contextlib.contextmanager
def explain_dvc_errors() -> Iterator[None]:
    """Raise the errors of DVC as a UserError, so that the user reads one line."""
    try:
        yield
    except NotDvcRepoError:
        raise UserError("this folder is in no DVC project: run from the project's root") from None
    except LockError:
        raise UserError(
            "another DVC command is running in this clone: wait until it ends"
        ) from None
    except SCMError as error:
        raise UserError(f"{one_line(error)}: run in a git clone with a commit") from None
    except DvcException as error:
        raise UserError(f"DVC: {one_line(error)}; fix that and run the command again") from None


@explain_dvc_errors()
def find_experiments(patterns: list[str]) -> list[Experiment]:
    """Return the experiments whose names match a pattern such as 'seeds-*', the newest first.

    Without patterns, return all experiments.

    Raises:
        UserError: There are no such experiments, or DVC cannot read them.
    """
    with Repo() as repo:
        by_commit = repo.experiments.ls(all_commits=True)
        matches = [
            (-repo.scm.resolve_commit(revision).commit_time, name, revision, commit)
            for commit, entries in by_commit.items()
            for name, revision in entries
            if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        ]
    if not matches:
        raise UserError(
            f"no experiment matches {' '.join(patterns)}: `dvc exp list --all-commits` shows them"
            if patterns
            else "there are no experiments: make some with `dvc exp run`"
        )
    return [
        load_experiment(name, revision, commit) for _, name, revision, commit in sorted(matches)
    ]


@explain_dvc_errors()
def load_experiment(name: str, revision: str | None, commit: str) -> Experiment:
    """Load an experiment that was run from a commit. The revision None is the workspace.

    Raises:
        UserError: DVC cannot read it.
    """
    params, base = dict(flatten(api.params_show(rev=revision))), load_base()
    changes = {
        key: PLACEHOLDER if key.endswith(SOURCE_KEYS) else value
        for key, value in params.items()
        if key != "seed" and value != base.get(key)
    }
    return Experiment(name, api.DVCFileSystem(rev=revision), commit[:7], params, changes)


@functools.cache
def load_base() -> dict[str, Any]:
    """Return the parameters of HEAD by dotted key."""
    return dict(flatten(api.params_show(rev="HEAD")))


def read(experiment: Experiment, path: Path) -> bytes:
    """Return a file of an experiment, from git or DVC's cache.

    Raises:
        UserError: The experiment has no such file.
    """
    try:
        content: bytes = experiment.files.read_bytes(path.as_posix())
    except (DvcException, OSError) as error:
        raise UserError(
            f"{experiment.name}: {path} cannot be read ({error}): run `dvc exp pull` if another "
            "clone made it"
        ) from None
    return content


def find_results(experiment: Experiment) -> Iterator[tuple[str, dict[str, Any]]]:
    """Find the results that were made with the experiment's parameters.

    An experiment that ran some stages also contains the committed results of the others. A result
    belongs to the experiment if none of its stages is stale.

    Yields:
        The name of a result, as `files.metrics_path` takes it, and the parameters of its stages.
    """
    stages = config.parse_yaml(read(experiment, Path("dvc.lock")).decode())["stages"]
    stale, default_loss = find_stale(experiment, stages), find_default_loss_stages(experiment)
    for key in stages:
        kind, _, name = key.partition("@")
        upstream = find_upstream(key, stages)
        if kind not in FOLDERS or upstream & stale:
            continue
        params = {}
        for stage in upstream:
            params |= read_params(stages[stage])
        if upstream & default_loss:
            params["loss"] = experiment.params["loss"]
        yield FOLDERS[kind] + name, params


def find_stale(experiment: Experiment, stages: Mapping[str, Any]) -> set[str]:
    """Return the names of the stages in dvc.lock that do not match the experiment.

    A stage is stale if its command differs from dvc.yaml, because dvc.lock keeps stages that left
    dvc.yaml. It is also stale if a parameter has another value than in the experiment, or if the
    stage read an older version of an output.
    """
    commands = {
        stage.name: stage.cmd
        for stage in experiment.files.repo.index.stages
        if isinstance(stage, PipelineStage)
    }
    changed = {
        key
        for key, stage in stages.items()
        if commands.get(key) != stage["cmd"]
        or any(
            experiment.params.get(name, value) != value
            for name, value in read_params(stage).items()
        )
    }
    return changed | find_outdated(experiment, stages)


def read_params(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that dvc.lock states for a stage, by dotted key."""
    return dict(flatten(stage.get("params", {}).get("params.yaml", {})))


def find_default_loss_stages(experiment: Experiment) -> set[str]:
    """Return the names of the stages that train with the loss `loss` of params.yaml.

    `loss` is part of their commands, so dvc.lock does not state it as a parameter.
    """
    pipeline = config.parse_yaml(read(experiment, Path("dvc.yaml")).decode())
    table = pipeline["stages"]["train"]["foreach"]
    return {f"train@{name}" for name, entry in table.items() if entry["loss"] == "${loss}"}


def find_outdated(experiment: Experiment, stages: Mapping[str, Any]) -> set[str]:
    """Return the names of the stages in dvc.lock that read an older version of an output.

    These stages were not run again after a stage that they depend on, because a target limited the
    run.
    """
    outdated = set()
    for key, stage in stages.items():
        for dep in stage.get("deps", ()):
            # Files that are not outputs have no md5. Nor do files of a folder whose listing is not
            # in the cache.
            with contextlib.suppress(DvcException, OSError, DataIndexDirError):
                if experiment.files.info(dep["path"]).get("md5", dep["md5"]) != dep["md5"]:
                    outdated.add(key)
    return outdated


def find_upstream(key: str, stages: Mapping[str, Any]) -> set[str]:
    """Return the names of a stage in dvc.lock and of all stages that it depends on."""
    makers = {out["path"]: key for key, stage in stages.items() for out in stage.get("outs", ())}
    pending, visited = [key], {key}
    while pending:
        paths = {Path(dep["path"]) for dep in stages[pending.pop()].get("deps", ())}
        outs = {str(part) for path in paths for part in (path, *path.parents)}
        new = {makers[out] for out in outs & makers.keys()} - visited
        visited |= new
        pending += new
    return visited


def read_result(
    experiment: Experiment, name: str, params: Mapping[str, Any]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return a result as a row of results.csv, and its training history in long format.

    Args:
        experiment: The experiment.
        name: The name of the result, as `files.metrics_path` takes it.
        params: The parameters of its stages.
    """
    evaluation = json.loads(read(experiment, files.evaluation_path(name)))
    metrics = json.loads(read(experiment, files.metrics_path(name)))
    scores = {**dict(flatten(evaluation)), **dict(flatten(metrics))}
    settings = [f"{key}={value}" for key, value in experiment.changes.items() if key in params]
    row = {
        "colorizer": GRAY_BASELINE if name.startswith("baseline/") else name,
        "seed": evaluation.get("seed", experiment.params["seed"]),
        "data": evaluation["data"],
        "settings": "; ".join(settings),
        "n": evaluation.get("n"),
        "loss": loss_label(evaluation),
        **{metric.key: scores[metric.key] for metric in METRICS if metric.key in scores},
        **{key: value for key, value in scores.items() if key.startswith("stages.")},
        "commit": experiment.commit,
        "experiment": experiment.name,
    }
    if name.startswith("baseline/"):
        return row, pd.DataFrame()
    content = read(experiment, files.curves_path(name))
    history = pd.read_csv(io.BytesIO(content))
    record = load_record(content)
    row |= {"epochs": len(history), "best_epoch": evaluation.get("best_epoch")}
    row |= {key: record.get(key) for key in RECORD}
    if history.empty:
        return row, history
    loss = row["loss"] or "cross-entropy"
    curves = stack_curves({name: history}, {name: loss}).rename(columns={"name": "colorizer"})
    return row, curves.assign(**{key: row[key] for key in CURVE_KEYS})


def drop_sources(settings: pd.Series) -> pd.Series:
    """Return the settings of results without the sources of their files."""
    return settings.map(
        lambda text: "; ".join(
            part for part in text.split("; ") if not part.endswith(f"={PLACEHOLDER}")
        )
    )


def read_decodings(experiment: Experiment, name: str) -> pd.DataFrame:
    """Return the decodings of a colorizer that classifies over color bins, otherwise no rows.

    All decodings are measured on the validation images, and the path from faithful to vivid on the
    test images. The column `vividness` has the positions on this path.
    """
    evaluation = json.loads(read(experiment, files.evaluation_path(name)))
    tables = []
    for key, part in DECODINGS.items():
        table = pd.DataFrame(evaluation.get(key, [])).assign(part=part)
        if part == "test":
            table["vividness"] = np.linspace(0, 1, len(table))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def collect(experiments: list[Experiment]) -> Collection:
    """Read all results of experiments.

    If several results have the same identity, the first experiment's result is kept. A message
    names the others if they differ.

    Raises:
        UserError: The experiments have no results.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}  # by identity
    curves, decodings = [], []
    images: dict[tuple[str, str, str], bytes] = {}
    for experiment in sorted(experiments, key=lambda entry: int(entry.params["seed"])):
        for name, params in find_results(experiment):
            row, history = read_result(experiment, name, params)
            identity = tuple(row[key] for key in IDENTITY)
            if not row.keys() & METRIC_KEYS:  # the pretext task was left out
                continue
            if identity in rows:
                _report_unused(experiment, name, row, rows[identity])
                continue
            rows[identity] = row
            curves.append(history)
            decodings.append(
                read_decodings(experiment, name).assign(**{key: row[key] for key in IDENTITY})
            )
            key = name, row["data"], row["settings"]
            if "/" not in name and key not in images:
                images[key] = read(experiment, files.grid_path(name))
    if not rows:
        raise UserError(
            "there are no results of these params: run `dvc exp run` for a table or `dvc repro` "
            "for the workspace, or wait for the experiments that `dvc queue status` shows"
        )
    results = pd.DataFrame(rows.values())
    if "parameters" in results:  # gray baselines have no value, so it is a float
        results["parameters"] = results["parameters"].astype("Int64")
    return Collection(
        results,
        pd.concat(curves, ignore_index=True),
        pd.concat(decodings, ignore_index=True),
        images,
    )


def _report_unused(
    experiment: Experiment, name: str, row: Mapping[str, Any], kept: Mapping[str, Any]
) -> None:
    """Print that a result is not used, if its metrics differ from those of the newer result."""
    # A gray baseline has the loss of its colorizers, which is not part of IDENTITY.
    if name.startswith("baseline/"):
        return
    if any(row.get(key) != kept.get(key) for key in METRIC_KEYS):
        print(
            f"{experiment.name}: {name} is not used, because {kept['experiment']} is newer and has "
            "the same settings and seed",
            file=sys.stderr,
        )
