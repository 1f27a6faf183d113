"""Tabulating DVC experiments, on a pipeline whose stages only write numbers."""

import sys

import pandas as pd
import pytest
import scipy.stats
import yaml
from project import Project

STAGE = """
import json, sys
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

if kind == "train":
    header = "epoch,train_loss,train_ssim,train_psnr,val_loss,val_ssim,val_psnr"
    write(f"curves/{name}.csv", f"{header}\\n1,{value},0.1,9,{value},0.1,9\\n2,1,0.2,10,1,0.2,10\\n")
else:
    path = name if kind == "evaluate" else f"baseline/{name}"
    test = {"loss": value, "ssim": 0.2, "psnr": 20 + params["seed"] / 10, "mse": value}
    rgb = {"psnr": 24.0}
    write(f"metrics/{path}.json", json.dumps({"test": test, "rgb": rgb, "lpips": 0.1, "colorfulness": 9.0}))
    about = {"data": params["dataset"], "n": 8, "loss": "mse", "original_colorfulness": 30.0}
    if kind == "evaluate":
        about |= {"seed": params["seed"], "best_epoch": 2}
        Path("grids").mkdir(exist_ok=True)
        Image.fromarray(np.full((124, 300, 3), params["seed"], np.uint8)).save(f"grids/{name}.png")
    write(f"evaluations/{path}.json", json.dumps(about))
"""


def stage(kind: str, name: str, params: list[str], outs: list[str]) -> dict:
    command = f"{sys.executable} make.py {kind} {name} --data tiny"
    return {"cmd": command, "deps": ["make.py"], "params": params, "outs": outs}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """Experiments: seeds 1, 2 and 3, seed 1 with another gain, and a run of the U-Net alone."""
    project = Project(tmp_path_factory.mktemp("table"))
    stages = {
        "train": {
            "foreach": ["resnet", "unet"],
            "do": stage("train", "${item}", ["seed", "gain"], ["curves/${item}.csv"]),
        },
        "evaluate": {
            "foreach": ["resnet", "unet"],
            "do": stage(
                "evaluate",
                "${item}",
                ["seed", "gain"],
                ["evaluations/${item}.json", "grids/${item}.png"],
            ),
        },
        "baseline": {
            "foreach": ["gray"],
            "do": stage("baseline", "${item}", ["gain"], ["evaluations/baseline/${item}.json"]),
        },
    }
    stages["evaluate"]["do"]["deps"].append("curves/${item}.csv")
    for kind, folder in (("evaluate", ""), ("baseline", "baseline/")):
        metrics = {f"metrics/{folder}${{item}}.json": {"cache": False}}
        stages[kind]["do"]["metrics"] = [metrics]
    (project.root / "make.py").write_text(STAGE)
    (project.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    params = {"seed": 0, "gain": 1, "dataset": "tiny", "large_dataset": "tiny"}
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    (project.root / ".gitignore").write_text("/curves\n/evaluations\n/grids\n/mine\n/runs\n")
    project.run("git", "init", "--quiet")
    project.commit("start")
    project.run("dvc", "repro")
    project.commit("results")
    for seed in (1, 2, 3):
        project.run("dvc", "exp", "run", "--name", f"seed-{seed}", "-S", f"seed={seed}")
    project.run("dvc", "exp", "run", "--name", "gain", "-S", "seed=1", "-S", "gain=2")
    project.run("dvc", "exp", "run", "--name", "alone", "-S", "seed=9", "evaluate@unet")
    project.run("git", "checkout", "--", ".")
    return project


def tabulate(project: Project, *arguments: str, code: int = 0) -> str:
    return project.run(sys.executable, "-m", "experiments.table", *arguments, code=code)


def test_means_over_seeds_and_paired_differences(project):
    printed = tabulate(project, "seed-1", "seed-2", "--out", "mine")
    printed = tabulate(project, "seed-3", "--out", "mine")  # adds to what is there
    results = pd.read_csv(project.root / "mine/results.csv").set_index(["colorizer", "seed"])
    assert sorted(results.loc["resnet"].index) == [1, 2, 3]
    assert list(results.loc["unet"]["test.loss"]) == [11, 12, 13]
    line = next(line for line in printed.splitlines() if line.startswith("| unet |"))
    assert line.split(" | ")[1:3] == ["3", "12 ± 1"]
    differences = results.loc["unet"]["test.psnr"] - results.loc["resnet"]["test.psnr"]
    assert differences.abs().max() < 1e-9
    line = next(line for line in printed.splitlines() if line.startswith("| unet - resnet |"))
    assert line.split(" | ")[1:3] == ["3", "-10 ± 0"]
    curves = pd.read_csv(project.root / "mine/curves.csv")
    assert len(curves) == 2 * 3 * 2 * 6  # colorizers, seeds, epochs, columns
    assert {path.name for path in (project.root / "mine").iterdir()} >= {
        "tables.md",
        "curves.png",
        "colorfulness.png",
        "overview.png",
    }
    before = (project.root / "mine/results.csv").read_text()
    tabulate(project, "seed-3", "--out", "mine")  # replaces the lines of the same identity
    assert (project.root / "mine/results.csv").read_text() == before


def test_the_intervals_are_those_of_a_paired_t_test():
    from experiments.table import compare

    rows = [("resnet", 0, 5.0), ("resnet", 1, 7.0), ("resnet", 2, 6.0)]
    rows += [("unet", 0, 4.0), ("unet", 1, 5.5), ("unet", 2, 5.5), ("unet", 3, 9.0)]
    results = pd.DataFrame(rows, columns=["colorizer", "seed", "test.loss"]).assign(loss="mse")
    interval = scipy.stats.ttest_rel([4, 5.5, 5.5], [5, 7, 6]).confidence_interval(0.95)
    (cell,) = compare(results, "resnet")["test loss"]
    mean, half = cell.split(" ± ")
    assert float(mean) == -1.0
    assert float(half) == pytest.approx((interval.high - interval.low) / 2, abs=0.1)


def test_other_settings_are_not_mixed(project):
    output = tabulate(project, "seed-1", "gain", "--out", "other", code=1)
    assert "error: gray baseline was run with several settings: '" in output
    assert "gain=2" in output
    assert not (project.root / "other").exists()
    printed = tabulate(project, "seed-1", "gain", "--out", "other", "--mix")
    assert "| unet (gain=2) | 1 | 21 |" in printed
    assert "| unet (default) | 1 | 11 |" in printed


def test_results_of_other_parameters_do_not_belong_to_an_experiment(project):
    tabulate(project, "alone", "--out", "alone")
    results = pd.read_csv(project.root / "alone/results.csv")
    assert set(results["colorizer"]) == {"unet", "gray baseline"}


def test_without_arguments_the_experiments_are_listed_in_100_columns(project):
    output = tabulate(project)
    assert max(map(len, output.splitlines())) <= 100
    assert "gain: seed=1 gain=2" in output
    assert "  unet                     test.loss 21" in output


def test_an_unknown_experiment(project):
    output = tabulate(project, "nothing-*", code=1)
    assert "error: no experiment matches nothing-*: `dvc exp list --all-commits`" in output
