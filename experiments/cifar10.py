"""The paper's CIFAR-10 runs on an archive, over seeds, through DVC: `make cifar10 ARCHIVE=cifar-10-binary.tar.gz`.

Every run is a DVC experiment in a folder of its own: the workspace is unchanged, and a killed run resumes. Results are
kept in <out>/<name>/<seed>/; a run that is there is not run again. Several run side by side, each on a GPU of its own, with
--jobs; and on several machines, each with a clone of its own, with --part.
"""

import argparse
import io
import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch
from dvc import api

from colorpipe import config, files
from colorpipe.runtime import machine
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from experiments import pretext, summary, tables
from experiments.summary import PRETEXT

# A colorizer on `dataset` is a run. The pretext task is one for each of its inits, pretext/<init>: all its modes and labels.
RUNS = [name for name, row in config.load_colorizers().items() if row["data"] == "${dataset}"] + [
    PRETEXT
]
BASELINE = "gray"  # no color, on the data of all of them
GRID = [  # of the pretext task, unless SET says otherwise
    "pretext.inits=[resnet,xavier,random]",
    "pretext.modes=[finetune,probe,knn]",
    "pretext.labels=[1,10,100]",
]
HISTORY = [
    "run",
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
]  # what is kept of the grid's
SHARED = "shared"  # the stages that the runs of a seed share: where they run side by side, each would do them for itself
Run = tuple[str, int]  # its name and its seed
LOGS = Path("runs/logs")
STARTING = threading.Lock()  # DVC sets the workspace aside for a moment while it copies it
READING = threading.Lock()  # DVC's API is not made for several threads
STARTED = "Reproducing experiment"  # what it prints afterwards


def main() -> None:
    """Run seed by seed, and write the tables and figures."""
    parser = argparse.ArgumentParser(prog="make cifar10", description=__doc__.splitlines()[0])
    parser.add_argument(
        "archive", help="ARCHIVE: CIFAR-10, binary version, or your own images in that layout"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0], help="SEEDS of each run (default: 0)"
    )
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS, help="RUNS (default: all)")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="SET: params that differ from params.yaml",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/mine"),
        help="OUT: a folder (default: results/mine)",
    )
    parser.add_argument(
        "--jobs",
        type=jobs,
        default=1,
        help="JOBS: at a time, each on a GPU of its own (default: 1)",
    )
    parser.add_argument(
        "--part",
        type=part,
        default=(1, 1),
        metavar="K/N",
        help="PART: the K-th of N parts of the runs",
    )
    options = parser.parse_args()

    settings = ["dataset=cifar10", *archive_settings(options.archive), *options.set]
    names = [name for name in options.runs if name != PRETEXT]
    if PRETEXT in options.runs:
        names += pretext_runs([*GRID, *settings])
    runs = list(dict.fromkeys((name, seed) for seed in options.seeds for name in names))
    out = Path(os.path.relpath(options.out))  # it is written into the page
    for name in names:
        refuse_other_params(
            out / kind(name), with_settings([*(GRID if kind(name) == PRETEXT else []), *settings])
        )

    def run(name: str, seed: int, slot: int | None) -> None:
        about = {
            "run": kind(name),
            "settings": shlex.join(options.set),
            "commit": machine.find_commit(),
        }  # before HEAD moves
        own = (
            [*GRID, *settings, f"pretext.inits=[{Path(name).name}]"]
            if kind(name) == PRETEXT
            else settings
        )
        title = experiment(name, seed, own, slot)
        if name != SHARED:
            keep(out, name, seed, title, about | machine.describe_machine())

    number, parts = options.part
    lists = []
    for chain in chains(runs)[number - 1 :: parts]:
        there = [(name, seed) for name, seed in chain if (out / name / str(seed)).is_dir()]
        for name, seed in there:
            print(f"{name}, seed {seed}: already in {out}")
        lists.append([one for one in chain if one not in there])
    judged = sorted({seed for chain in lists for name, seed in chain if kind(name) != PRETEXT})
    if options.jobs > 1:
        side_by_side([[(SHARED, seed)] for seed in judged], options.jobs, run)
    side_by_side(lists, options.jobs, run)
    summary.draw(out)
    pretext.draw(out)
    tables.write_readme(out)


def jobs(text: str) -> int:
    """A whole number from 1."""
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"use 1 or more, not {text}")
    return int(text)


def part(text: str) -> tuple[int, int]:
    """K/N, as two numbers."""
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part: use 1/4 for the first of four")
    return int(found[1]), int(found[2])


def pretext_runs(settings: list[str]) -> list[str]:
    """The names of the pretext task's runs. Raises UserError where `pretext.inits` is no list."""
    inits = with_settings(settings)["pretext"]["inits"]
    if not isinstance(inits, list):
        raise UserError(f"pretext.inits={inits} is no list: use pretext.inits=[{inits}]")
    return [f"{PRETEXT}/{init}" for init in inits]


def kind(name: str) -> str:
    """A colorizer's name, or PRETEXT for a run of the pretext task."""
    return name.split("/")[0]


def chains(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in lists that do not depend on one another: one that starts from another's weights is in the other's list.

    Such are an adversarial colorizer and the pretext task's runs, which come last.
    """
    table = config.load_colorizers()
    found: dict[Run, list[Run]] = {}
    for name, seed in sorted(runs, key=lambda run: kind(run[0]) == PRETEXT):
        first = name.removeprefix(f"{PRETEXT}/")
        if start := re.match(r"models/(.+)/", table[first]["init"] if first in table else ""):
            first = start[1]
        found.setdefault((first, seed), []).append((name, seed))
    return list(found.values())


def side_by_side(
    lists: Sequence[Sequence[Run]], jobs: int, run: Callable[[str, int, int | None], None]
) -> None:
    """Run each list in its order, `jobs` lists at a time. After an error no further run is started."""
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(jobs):
        slots.put(slot)
    failed = threading.Event()

    def in_order(chain: Sequence[Run]) -> None:
        slot = slots.get()
        try:
            for name, seed in chain:
                if not failed.is_set():
                    run(name, seed, slot if jobs > 1 else None)
        except BaseException:
            failed.set()
            raise
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(in_order, chain) for chain in lists]:
            done.result()


def archive_settings(archive: str) -> list[str]:
    """Return the settings for an archive: its path and its md5."""
    if not Path(archive).is_file():
        raise UserError(
            f"there is no archive {archive!r}: use make cifar10 ARCHIVE=cifar-10-binary.tar.gz"
        )
    if not tarfile.is_tarfile(archive):
        raise UserError(
            f"{archive} is no tar archive: use CIFAR-10's binary version, cifar-10-binary.tar.gz"
        )
    md5 = files.hash_file(Path(archive), "md5")
    return [f"datasets.cifar10.source={Path(archive).resolve()}", f"datasets.cifar10.md5={md5}"]


def with_settings(settings: list[str]) -> dict:
    """params.yaml with the settings. Raises UserError for one that is not KEY=VALUE, or has an unknown key."""
    content = config.parse_yaml(Path("params.yaml").read_text())
    for setting in settings:
        key, _, value = setting.partition("=")
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise UserError(f"{setting}: params.yaml has no key {key}")
        section[last] = config.parse_yaml(value)
    return content


def refuse_other_params(folder: Path, wanted: dict) -> None:
    """Raise UserError where `folder` holds results that were run with other params: a mean over both means nothing."""
    for found in sorted(folder.glob("**/params.yaml")):
        different = summary.differences(config.parse_yaml(found.read_text()), wanted)
        if different:
            raise UserError(
                f"{found.parent} was run with a different {different[0]}: use another OUT, or remove {folder}"
            )


def experiment(name: str, seed: int, settings: list[str], slot: int | None = None) -> str:
    """Run it as a DVC experiment, and return its name.

    `slot` is its place among those that run at the same time: it gets the GPU of that number, and its output goes to a log.
    """
    commit = _git("rev-parse", "--short", "HEAD")
    title = f"cifar10-{name.replace('/', '-')}-{seed}-{commit}"
    if name == SHARED:
        stages = [f"baseline@{BASELINE}"]  # and what comes before it: the split
    elif kind(name) == PRETEXT:
        stages = [PRETEXT]  # all of its stages, which the params list
    else:
        stages = [f"evaluate@{name}", f"baseline@{BASELINE}"]
    command = ["dvc", "exp", "run", "--temp", "--name", title]
    for setting in [*settings, f"seed={seed}"]:
        command += ["--set-param", setting]
    listed = subprocess.run(
        ["dvc", "exp", "list", "--name-only"], capture_output=True, text=True
    ).stdout
    if title in listed.split():  # of other settings, or killed before its results were kept
        subprocess.run(["dvc", "exp", "remove", "--quiet", title], check=True)
    print(shlex.join(command + stages), flush=True)
    if slot is None:
        code, where = subprocess.run(command + stages).returncode, "above"
    else:
        code, where = (
            run_logged(command + stages, LOGS / f"{title}.log", slot),
            str(LOGS / f"{title}.log"),
        )
    if code:
        raise UserError(
            f"{name}, seed {seed}, failed: see {where}. Finished epochs are kept: run the command again to resume"
        )
    return title


def run_logged(command: list[str], log: Path, slot: int) -> int:
    """Run a command of DVC's with its output in a file, on the GPU of that number where there are any; its exit status."""
    environment = dict(os.environ)
    if count := torch.cuda.device_count():
        environment["CUDA_VISIBLE_DEVICES"] = str(slot % count)
    log.parent.mkdir(parents=True, exist_ok=True)
    with STARTING, log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        print(f"its output: {log}", flush=True)
        while process.poll() is None and STARTED not in log.read_text(errors="replace"):
            time.sleep(0.2)
    return process.wait()


def keep(out: Path, name: str, seed: int, title: str, about: dict[str, str]) -> None:
    """Copy an experiment's results into <out>/<name>/<seed>/, atomically, with what it ran on."""
    out.mkdir(parents=True, exist_ok=True)

    def read(path: Path) -> bytes:
        content: bytes = api.read(str(path), rev=title, mode="rb")
        return content

    folder = out / name / str(seed)
    with READING, tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=out) as temporary:
        partial = Path(temporary) / "result"
        partial.mkdir()
        params = read(Path("params.yaml"))
        (partial / "params.yaml").write_bytes(params)
        if kind(name) == PRETEXT:
            runs = config.PretextConfig.model_validate(
                config.parse_yaml(params.decode())["pretext"]
            ).runs()
            metrics, history = grid_results(runs, read)
            (partial / "curves.csv").write_text(history)
        else:
            metrics = colorizer_results(name, read)
            (partial / "curves.csv").write_bytes(read(files.curves_path(name)))
            (partial / "grid.png").write_bytes(read(files.grid_path(name)))
        (partial / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (partial / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(folder)


def colorizer_results(name: str, read: Callable[[Path], bytes]) -> dict:
    """A colorizer's metrics, what identifies them, and those of no color; `read` reads a file of the experiment."""
    content = both(name, read)
    baseline = both(f"baseline/{BASELINE}", read)
    baseline["test"]["loss"] = content.pop("baseline_loss")
    baseline |= {key: content[key] for key in ("loss", "lpips_weights") if key in content}
    return (
        content
        | {key: value for key, value in baseline.items() if key.startswith("original_")}
        | {"baseline": baseline}
    )


def grid_results(
    runs: Sequence[config.PretextRun], read: Callable[[Path], bytes]
) -> tuple[dict, str]:
    """The metrics of runs of the pretext task by name, with what identifies them, and their histories as one CSV."""
    found = {Path(run.name).name: both(run.name, read) for run in runs}
    frames = [
        pd.read_csv(io.BytesIO(read(files.curves_path(run.name))))
        .assign(run=Path(run.name).name)
        .reindex(columns=HISTORY)
        for run in runs
    ]
    history = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    identity = {key: next(iter(found.values()))[key] for key in ("data", "n", "seed")}
    return identity | {"runs": found}, history.to_csv(index=False, float_format="%.6g")


def both(name: str, read: Callable[[Path], bytes]) -> dict:
    """What identifies a result, and its metrics."""
    content: dict = json.loads(read(files.evaluation_path(name))) | json.loads(
        read(files.metrics_path(name))
    )
    return content


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"DVC's experiments need a git clone with a commit: git {command[0]}: {done.stderr.strip()}"
        )
    return done.stdout.strip()


if __name__ == "__main__":
    run_main(main)
