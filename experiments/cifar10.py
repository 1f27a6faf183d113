"""The report on a CIFAR-10 archive, over seeds, through DVC: `make cifar10 ARCHIVE=cifar-10-python.tar.gz`.

Every run is one of DVC's experiments, in a folder of its own: the workspace stays as it is, and what a killed run had done
is not done again. What a run gave is kept in <out>/<name>/<seed>/, and a run that is there is not run again.
"""

import argparse
import json
import shlex
import shutil
import subprocess
from pathlib import Path

from colorpipe import download, environment, params, paths
from colorpipe.datasets import cifar10
from colorpipe.errors import UserError, run
from experiments import summary, tables

RUNS = {  # what can be asked for: the names of its results
    "resnet": ["resnet"],
    "resnet_lpips": ["resnet_lpips"],
    "densenet": ["densenet"],
    "eccv": ["eccv"],
    "pretext": ["pretext/pretrained", "pretext/xavier"],
}
ARCHIVE = paths.ARCHIVES / cifar10.ARCHIVE


def main() -> None:
    """Run what is asked for, seed by seed, and write the tables and figures."""
    parser = argparse.ArgumentParser(prog="make cifar10", description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="ARCHIVE: CIFAR-10, Python version, or images of one's own in that layout")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="SEEDS, of each run (default: 0)")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="RUNS (default: all)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="SET: params other than params.yaml's")
    parser.add_argument("--out", type=Path, default=Path("results/mine"), help="OUT: a folder (default: results/mine)")
    options = parser.parse_args()

    settings = ["dataset=cifar10", *put_in_place(options.archive), *options.set]
    asked = [(name, seed) for seed in options.seeds for name in options.runs]
    for name, seed in asked:
        for result in RUNS[name]:
            refuse_other_params(options.out / result, with_settings([*settings, f"seed={seed}"]))
    for name, seed in asked:
        if all((options.out / result / str(seed)).is_dir() for result in RUNS[name]):
            print(f"{name}, seed {seed}: is in {options.out}")
        else:
            keep(options.out, name, seed, experiment(name, seed, settings), shlex.join(options.set))
    summary.draw(options.out)
    tables.write_readme(options.out)


def put_in_place(archive: str) -> list[str]:
    """Copy the archive to where the download stage looks for it; the settings that it needs: its md5."""
    if not Path(archive).is_file():
        raise UserError(f"there is no archive {archive!r}: make cifar10 ARCHIVE=cifar-10-python.tar.gz")
    md5 = download.file_hash(Path(archive), "md5")
    if ARCHIVE.is_file() and download.file_hash(ARCHIVE, "md5") != md5:
        raise UserError(f"{ARCHIVE} is another archive than {archive}: remove one of them")
    download.fetch(archive, ARCHIVE, "md5", md5, "give another ARCHIVE")
    return [f"datasets.cifar10.md5={md5}"]


def with_settings(settings: list[str]) -> dict:
    """params.yaml with the settings. Raises UserError for one that is no KEY=VALUE, or whose key is not there."""
    content = params.parse(Path("params.yaml").read_text())
    for setting in settings:
        key, _, value = setting.partition("=")
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise UserError(f"{setting}: params.yaml has no key {key}")
        section[last] = params.parse(value)
    return content


def refuse_other_params(folder: Path, wanted: dict) -> None:
    """Raise UserError where `folder` holds seeds that were run with other params: a mean over both says nothing."""
    for found in sorted(folder.glob("*/params.yaml")):
        different = summary.differences(params.parse(found.read_text()), wanted)
        if different:
            raise UserError(
                f"{found.parent} was run with another {different[0]}: give another OUT, or remove what {folder} holds"
            )


def experiment(name: str, seed: int, settings: list[str]) -> str:
    """Run it; the name of DVC's experiment."""
    commit = _git("rev-parse", "--short", "HEAD")
    title = f"cifar10-{name}-{seed}-{commit}"
    stages = [f"pretext@{Path(result).name}" if name == "pretext" else f"evaluate@{result}" for result in RUNS[name]]
    command = ["dvc", "exp", "run", "--temp", "--copy-paths", str(paths.ARCHIVES), "--name", title]
    for setting in [*settings, f"seed={seed}"]:
        command += ["--set-param", setting]
    listed = subprocess.run(["dvc", "exp", "list", "--name-only"], capture_output=True, text=True).stdout
    if title in listed.split():  # of other settings, or killed before its results were kept
        subprocess.run(["dvc", "exp", "remove", "--quiet", title], check=True)
    print(shlex.join(command + stages), flush=True)
    if subprocess.run(command + stages).returncode:
        raise UserError(f"{name}, seed {seed}, failed: see above. What was done is kept, and the same command goes on")
    return title


def keep(out: Path, name: str, seed: int, title: str, settings: str) -> None:
    """Copy what the experiment gave into <out>/<result>/<seed>/, whole or not at all."""
    from dvc import api

    about = {"run": name, "settings": settings, "commit": environment.commit(), **environment.describe()}
    for result in RUNS[name]:
        files = {"metrics.json": paths.metrics(result), "curves.csv": paths.curves(result), "params.yaml": "params.yaml"}
        if name != "pretext":
            files["grid.png"] = paths.grid(result)
        folder = out / result / str(seed)
        partial = out / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for target, source in files.items():
            (partial / target).write_bytes(api.read(str(source), rev=title, mode="rb"))
        (partial / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(folder)


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"DVC's experiments need a git clone with a commit: git {command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    run(main)
