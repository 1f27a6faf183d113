"""Tabulating and comparing DVC experiments, on a pipeline whose stages only write numbers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import scipy.stats
import yaml
from PIL import Image
from project import Project

from experiments.seeds import compare

STAGE = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from ruamel.yaml import YAML

kind, name = sys.argv[1:3]
params = YAML(typ="safe").load(Path("params.yaml"))
value = params["seed"] + (10 if name == "unet" else 20) * params["gain"]

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

def write_history(name):
    header = "epoch,train_loss,train_ssim,train_psnr,val_loss,val_ssim,val_psnr"
    lines = [header, f"1,{value},0.1,9,{value},0.1,9", "2,1,0.2,10,1,0.2,10"]
    write(f"curves/{name}.csv", "\\n".join(lines))

root = Path(os.environ.get("DVC_ROOT", "."))
while kind == "evaluate" and (root / "wait").exists():
    write(root / "waiting", str(os.getpid()))
    time.sleep(0.1)
if kind == "split":
    write("data.txt", str(params["side"]))
elif kind == "train":
    write_history(name)
elif kind == "pretext":
    accuracy = 0.7 + params["seed"] / 100 if name.startswith("resnet") else 0.6
    write(f"metrics/pretext/{name}.json", json.dumps({"test": {"loss": 1.0}, "top1": accuracy}))
    about = {"data": params["dataset"], "n": 8, "seed": params["seed"], "best_epoch": 2}
    write(f"evaluations/pretext/{name}.json", json.dumps(about))
    write(
        f"curves/pretext/{name}.csv",
        "epoch,train_loss,train_accuracy,val_loss,val_accuracy\\n1,2,0.1,2,0.1\\n2,1,0.2,1,0.2",
    )
else:
    path = name if kind == "evaluate" else f"baseline/{name}"
    test = {"loss": value, "ssim": 0.2, "psnr": 20 + params["seed"] / 10, "mse": value}
    metrics = {"test": test, "rgb": {"psnr": 24.0}, "lpips": 0.1, "colorfulness": 9.0}
    write(f"metrics/{path}.json", json.dumps(metrics))
    about = {"data": params["dataset"], "n": 8, "loss": "mse", "original_colorfulness": 30.0}
    if kind == "evaluate":
        about |= {"seed": params["seed"], "best_epoch": 2}
        if name == "unet":  # has decodings from faithful to vivid
            points = [{"alpha": a, "temperature": 1.0, "mse": value + 30 - 10 * a,
                       "colorfulness": 20 - 10 * a} for a in (1.0, 0.5, 0.0)]
            about |= {"decodings": points, "test_vividness": points}
        Path("grids").mkdir(exist_ok=True)
        Image.fromarray(np.full((124, 288, 3), params["seed"], np.uint8)).save(f"grids/{name}.png")
    write(f"evaluations/{path}.json", json.dumps(about))
"""


def stage(kind: str, names: list[str], params: list[str], outs: list[str], metrics: str = ""):
    command = f"{sys.executable} make.py {kind} ${{item}} --data tiny"
    entry = {"cmd": command, "deps": ["make.py"], "params": params, "outs": outs}
    if metrics:
        entry["metrics"] = [{f"metrics/{metrics}.json": {"cache": False}}]
    return {"foreach": names, "do": entry}


def make_pipeline(baselines: list[str]) -> dict:
    both, grid = ["seed", "gain"], ["evaluations/${item}.json", "grids/${item}.png"]
    gray = ["evaluations/baseline/${item}.json"]
    classifier = ["evaluations/pretext/${item}.json", "curves/pretext/${item}.csv"]
    runs = ["resnet-finetune-100", "xavier-finetune-100"]
    stages = {
        "split": {
            "cmd": f"{sys.executable} make.py split tiny",
            "deps": ["make.py"],
            "params": ["side"],
            "outs": ["data.txt"],
        },
        "train": {
            "foreach": {"resnet": {"loss": "${loss}"}, "unet": {"loss": "mse"}},
            "do": {
                "cmd": f"{sys.executable} make.py train ${{key}} --data tiny --loss ${{item.loss}}",
                "deps": ["make.py", "data.txt"],
                "params": both,
                "outs": ["curves/${key}.csv"],
            },
        },
        "evaluate": stage("evaluate", ["resnet", "unet"], [], grid, "${item}"),
        "baseline": stage("baseline", baselines, ["gain"], gray, "baseline/${item}"),
        "pretext": stage("pretext", runs, ["seed"], classifier, "pretext/${item}"),
    }
    stages["evaluate"]["do"]["deps"].append("curves/${item}.csv")
    return {"stages": stages}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """Run experiments with seeds 1, 2 and 3, one with another gain, and two of the U-Net alone.

    One of the last two has another seed, and the other another parameter of `split`. dvc.lock also
    has a baseline that is no longer in dvc.yaml.
    """
    folder = tmp_path_factory.mktemp("table")
    project = Project(folder)
    (project.root / "make.py").write_text(STAGE)
    (project.root / "dvc.yaml").write_text(yaml.safe_dump(make_pipeline(["gray", "removed"])))
    params = {"seed": 0, "gain": 1, "side": 1, "loss": "mse"}
    params |= {"dataset": "tiny", "large_dataset": "tiny"}
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    outputs = (
        "curves",
        "data.txt",
        "evaluations",
        "grids",
        "mine",
        "other",
        "alone",
        "queued",
        "runs",
        "wait*",
    )
    (project.root / ".gitignore").write_text("".join(f"/{name}\n" for name in outputs))
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    project.commit("start")
    project.run("dvc", "repro")
    (project.root / "dvc.yaml").write_text(yaml.safe_dump(make_pipeline(["gray"])))
    project.commit("results")
    for seed in (1, 2, 3):
        project.run("dvc", "exp", "run", "--name", f"seed-{seed}", "-S", f"seed={seed}")
    project.run("dvc", "exp", "run", "--name", "gain", "-S", "seed=1", "-S", "gain=2")
    project.run("dvc", "exp", "run", "--name", "alone", "-S", "seed=9", "evaluate@unet")
    project.run("git", "checkout", "--", ".")
    project.run("dvc", "exp", "run", "--name", "side", "-S", "side=2", "evaluate@unet")
    project.run("git", "checkout", "--", ".")
    return project


def tabulate(project: Project, *arguments: str, code: int = 0) -> str:
    return project.run(sys.executable, "-m", "experiments.table", *arguments, code=code)


def find_line(text: str, *cells: str) -> list[str]:
    """Return the cells that follow the given ones in a line of a Markdown table."""
    start = f"| {' | '.join(cells)} |"
    line = next(line for line in text.splitlines() if line.startswith(start))
    return line.removeprefix(start).strip(" |").split(" | ")


def test_tables_have_means_over_seeds_and_paired_differences(project):
    tabulate(project, "seed-1", "seed-2", "--out", "mine")
    printed = tabulate(project, "seed-3", "--out", "mine")  # adds to the two seeds in the folder
    results = pd.read_csv(project.root / "mine/results.csv").set_index(["colorizer", "seed"])
    assert sorted(results.loc["resnet"].index) == [1, 2, 3]
    assert list(results.loc["unet"]["test.loss"]) == [11, 12, 13]
    assert find_line(printed, "tiny", "unet")[:2] == ["3", "12 ± 1"]
    assert find_line(printed, "tiny", "unet - resnet")[:2] == ["3", "-10 ± 0"]
    curves = pd.read_csv(project.root / "mine/curves.csv")
    per_seed = 2 * 2 * 6 + 2 * 2 * 4  # colorizers and classifiers, epochs, columns
    assert len(curves) == 3 * per_seed
    decodings = pd.read_csv(project.root / "mine/decodings.csv")
    assert set(decodings["colorizer"]) == {"unet"}
    tested = decodings[decodings["part"] == "test"].set_index(["seed", "vividness"])
    assert tested.loc[(3, 0.5), ["alpha", "mse", "colorfulness"]].to_list() == [0.5, 38, 15]
    assert find_line(printed, "tiny", "unet", "test", "1.0") == ["3", "42 ± 1", "20 ± 0"]
    assert find_line(printed, "tiny", "unet", "validation", "0.5", "1.0")[1] == "37 ± 1"
    figures = {
        "tables.md",
        "index.html",
        "curves.png",
        "colorfulness.png",
        "overview.png",
        "pretext.png",
    }
    assert {path.name for path in (project.root / "mine").iterdir()} >= figures
    page = (project.root / "mine/index.html").read_text()
    half = scipy.stats.ttest_1samp([11, 12, 13], 0).confidence_interval(0.95).high - 12
    assert f"±{half:.1f}" in page  # the ab MSE of the U-Net
    for name in ("resnet", "unet"):
        with Image.open(project.root / f"mine/images/{name}.png") as grid:
            assert grid.convert("RGB").getpixel((0, 0)) == (1, 1, 1)  # from the first seed
    before = (project.root / "mine/results.csv").read_text()
    tabulate(project, "seed-3", "--out", "mine")  # replaces its earlier lines
    assert (project.root / "mine/results.csv").read_text() == before


def test_pretext_accuracies_have_means_and_paired_differences(project):
    printed = tabulate(project, "seed-*", "--out", "mine")
    assert find_line(printed, "tiny", "finetune", "100", "resnet") == ["3", "0.72 ± 0.01"]
    assert find_line(printed, "tiny", "finetune", "100", "xavier") == ["3", "0.6 ± 0"]
    interval = scipy.stats.ttest_1samp([0.11, 0.12, 0.13], 0).confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    assert find_line(printed, "tiny", "finetune", "100", "resnet - xavier") == [
        "3",
        f"+0.12 ± {half:.2g}",
    ]


def test_the_intervals_are_those_of_a_paired_t_test():
    rows = [("resnet", 0, 5.0), ("resnet", 1, 7.0), ("resnet", 2, 6.0)]
    rows += [("unet", 0, 4.0), ("unet", 1, 5.5), ("unet", 2, 5.5), ("unet", 3, 9.0)]
    results = pd.DataFrame(rows, columns=["colorizer", "seed", "test.loss"]).assign(loss="mse")
    interval = scipy.stats.ttest_rel([4, 5.5, 5.5], [5, 7, 6]).confidence_interval(0.95)
    (cell,) = compare(results, "colorizer", "resnet", {"test.loss": "loss"})["loss"]
    mean, half = cell.split(" ± ")
    assert float(mean) == -1.0
    assert float(half) == pytest.approx((interval.high - interval.low) / 2, abs=0.1)


def test_losses_of_different_kinds_are_not_compared():
    rows = [("resnet", seed, 5.0 + seed, "mse", seed) for seed in (0, 1)]
    rows += [("lpips", seed, 0.1 * seed, "lpips", 2.0 * seed) for seed in (0, 1)]
    columns = ["colorizer", "seed", "test.loss", "loss", "test.mse"]
    results = pd.DataFrame(rows, columns=columns)
    titles = {"test.loss": "loss", "test.mse": "MSE"}
    table = compare(results, "colorizer", "resnet", titles)
    assert "loss" not in table
    assert "MSE" in table


def test_different_settings_are_not_mixed(project):
    output = tabulate(project, "seed-1", "gain", "--out", "other", code=1)
    assert "error: gray baseline was run with several settings: '" in output
    assert "gain=2" in output
    assert not (project.root / "other").exists()
    printed = tabulate(project, "seed-1", "gain", "--out", "other", "--separate-settings")
    assert find_line(printed, "tiny", "unet (gain=2)")[:2] == ["1", "21"]
    assert find_line(printed, "tiny", "unet (default)")[:2] == ["1", "11"]
    names = {path.stem for path in (project.root / "other/images").iterdir()}
    assert names >= {"unet (default)", "unet (gain=2)"}
    output = tabulate(
        project, "seed-1", "--out", "other", "--separate-settings", "--reference", "none", code=1
    )
    assert "error: --reference none: the table has no such colorizer" in output
    classifiers = pd.read_csv(project.root / "other/results.csv").set_index("colorizer")
    assert pd.isna(classifiers.loc["pretext/resnet-finetune-100", "settings"])  # without gain


def test_results_of_other_parameters_do_not_belong_to_an_experiment(project):
    tabulate(project, "alone", "--out", "alone")
    results = pd.read_csv(project.root / "alone/results.csv")
    assert sorted(results["colorizer"]) == ["gray baseline", "unet"]


def test_results_of_older_data_do_not_belong_to_an_experiment(project, tmp_path):
    tabulate(project, "side", "--out", str(tmp_path))
    results = pd.read_csv(tmp_path / "results.csv").set_index("colorizer")
    settings = results["settings"].fillna("").to_dict()
    own = {name: text for name, text in settings.items() if "/" not in name}
    assert own == {"gray baseline": "", "unet": "side=2"}


def test_the_loss_is_a_setting_of_the_colorizers_that_follow_it(project, tmp_path):
    shutil.copytree(project.root, tmp_path / "copy", symlinks=True)
    copy = Project.at(tmp_path / "copy", project)
    copy.run("dvc", "exp", "run", "--name", "l1", "-S", "seed=1", "-S", "loss=l1")
    copy.run("git", "checkout", "--", ".")
    copy.run("dvc", "exp", "run", "--name", "l1-alone", "-S", "loss=l1", "evaluate@unet")
    tabulate(copy, "l1", "--out", str(tmp_path / "mine"))
    results = pd.read_csv(tmp_path / "mine/results.csv").set_index("colorizer")["settings"]
    own = {name: text for name, text in results.fillna("").items() if "/" not in name}
    assert own == {"gray baseline": "", "resnet": "loss=l1", "unet": ""}
    output = tabulate(copy, "l1", "seed-1", "--out", str(tmp_path / "mine"), code=1)
    assert "error: resnet was run with several settings: ''; 'loss=l1'" in output
    tabulate(copy, "l1-alone", "--out", str(tmp_path / "alone"))
    names = set(pd.read_csv(tmp_path / "alone/results.csv")["colorizer"])
    assert {name for name in names if "/" not in name} == {"gray baseline", "unet"}


def test_settings_are_those_that_differ_from_head(project, tmp_path):
    shutil.copytree(project.root, tmp_path / "copy", symlinks=True)
    copy = Project.at(tmp_path / "copy", project)
    copy.edit_params(gain=3)
    copy.commit("gain 3")
    copy.run("dvc", "exp", "run", "--name", "seed-1", "-S", "seed=1")  # an older one has this name
    output = tabulate(copy, "seed-2", "seed-1", "--out", str(tmp_path / "mine"), code=1)
    assert "was run with several settings: ''; 'gain=1'" in output
    copy.run("git", "checkout", "HEAD~", "--", "params.yaml")
    copy.commit("gain 1 again")
    copy.run("dvc", "exp", "run", "--name", "seed-1", "-S", "seed=1")
    tabulate(copy, "seed-1", "--out", str(tmp_path / "mine"), "--separate-settings")
    results = pd.read_csv(tmp_path / "mine/results.csv").fillna({"settings": ""})
    commits = results.set_index(["colorizer", "settings"])["commit"]
    assert commits["unet"].index.to_list() == ["", "gain=3"]
    curves = pd.read_csv(tmp_path / "mine/curves.csv")
    assert not curves.duplicated().any()
    assert len(curves[curves["colorizer"] == "unet"]) == 2 * 2 * 6  # settings, epochs, columns
    assert commits["unet", ""] == copy.run("git", "rev-parse", "--short=7", "HEAD").strip()


def test_without_arguments_the_experiments_are_listed_in_100_columns(project):
    output = tabulate(project)
    assert max(map(len, output.splitlines())) <= 100
    heading = output.index("gain: seed=1 gain=2\n")
    line = next(line for line in output[heading:].splitlines() if line.startswith("unet "))
    assert line.split()[1:4] == ["21", "0.2", "20.1"]


def test_an_unknown_experiment_is_named(project):
    output = tabulate(project, "nothing-*", code=1)
    assert "error: no experiment matches nothing-*: `dvc exp list --all-commits`" in output


def test_options_for_tables_need_a_folder(project):
    assert "--reference and --separate-settings need --out" in tabulate(
        project, "--reference", "unet", code=2
    )


def test_a_folder_outside_git_is_reported_in_one_line(tmp_path):
    assert "is not a git repository: run in a git clone" in tabulate(Project(tmp_path), code=1)


def test_a_run_is_compared_with_the_results_of_a_study(project):
    def verify(code: int) -> str:
        return project.run(sys.executable, "-m", "experiments.verify", "--study", "mine", code=code)

    tabulate(project, "seed-2", "--out", "mine")
    project.run("dvc", "exp", "apply", "seed-2")
    assert "0 failures" in verify(0)
    path = project.root / "metrics/unet.json"
    path.write_text(path.read_text().replace("20.2", "20.3"))
    assert "differs: unet test.psnr: in mine 20.2, here 20.3" in verify(0)
    path.write_text(path.read_text().replace("20.3", "22.3"))
    assert "FAILED: unet test.psnr: in mine 20.2, here 22.3" in verify(1)
    path.write_text(path.read_text().replace("22.3", "20.2"))
    baseline = project.root / "metrics/baseline/gray.json"
    content = json.loads(baseline.read_text())
    content["test"]["mse"] *= 1.01  # as if the archive had slightly different images
    baseline.write_text(json.dumps(content))
    assert "differs: gray baseline test.mse" in verify(0)
    project.run("git", "checkout", "--", ".")
    project.run("dvc", "checkout", "--force")
    assert "mine/results.csv has no row with seed 0 and these settings (default): " in verify(1)


def test_experiments_of_two_clones_are_in_one_table(project, tmp_path):
    project.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    project.run("dvc", "push")
    clones = []
    for seed in (5, 6):
        project.run("git", "clone", "--quiet", str(tmp_path / "bare"), str(tmp_path / f"{seed}"))
        clone = Project.at(tmp_path / f"{seed}", project)
        clone.run("dvc", "exp", "run", "--name", f"clone-{seed}", "-S", f"seed={seed}")
        clone.run("dvc", "exp", "push", "origin", f"clone-{seed}")
        clones.append(clone)
    clones[0].run("dvc", "exp", "pull", "origin", "clone-6")
    printed = tabulate(clones[0], "clone-*", "--out", "mine")
    assert find_line(printed, "tiny", "unet")[:2] == ["2", "15.5 ± 0.71"]


def wait_until(condition, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)


def find_processes(root: Path) -> list[int]:
    """Return the processes that run in a folder or below."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(root):
                processes.append(int(process.name))
        except OSError:
            continue
    return processes


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_killed_queue_continues_when_it_is_started_again(project):
    def queue(*seeds: int) -> None:
        for seed in seeds:
            project.run(
                "dvc", "exp", "run", "--queue", "--name", f"queue-{seed}", "-S", f"seed={seed}"
            )
        command = (sys.executable, "-m", "dvc", "queue", "start")
        with (project.root / "waiting-queue").open("w") as log:  # the worker would keep a pipe open
            subprocess.run(
                command, cwd=project.root, env=project.environment, stdout=log, check=True
            )

    waiting = project.root / "waiting"
    (project.root / "wait").touch()
    queue(7, 8)
    wait_until(waiting.exists)
    for process in find_processes(project.root):
        os.kill(process, signal.SIGKILL)
    (project.root / "wait").unlink()
    queue(7)  # seed 8 is still waiting

    def finished() -> bool:
        return all(f"queue-{seed}" in project.run("dvc", "exp", "list") for seed in (7, 8))

    wait_until(finished)
    printed = tabulate(project, "queue-*", "--out", "queued")
    assert find_line(printed, "tiny", "unet")[:2] == ["2", "17.5 ± 0.71"]
