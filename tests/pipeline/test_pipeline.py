"""The whole DVC pipeline, real but tiny, on archives in the official formats; and whether dvc.yaml tells the truth."""

import hashlib
import json
import re
import shutil
import sys

import archives
import pytest
import torch
import torchvision
import yaml
from project import ROOT, Project
from skimage.io import imread

from colorpipe import checkpoints, params
from colorpipe.losses import lpips
from stages import check

PACKAGE_FILES = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("colorpipe/**/__init__.py")]
LOGS = (".dvc", ".dvcignore", ".git", ".gitignore", "live", "runs")  # no inputs: DVCLive's, and when and where it ran
COLORIZERS = ["resnet", "resnet_lpips", "densenet", "eccv", "resnet_large"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """CIFAR-10 with ImageNet weights in torchvision's form and STL-10 without, a few images each; run once."""
    folder = tmp_path_factory.mktemp("pipeline")
    project = Project(folder)
    cifar, *_ = archives.cifar10(folder / "cifar.tar.gz", 8)
    stl, *_ = archives.stl10(folder / "stl.tar.gz", 20, 8)
    torch.manual_seed(0)
    vgg = lpips.build({}, {"weights": "random", "seed": 0}).features.state_dict()
    weights = {
        "resnet18": torchvision.models.resnet18().state_dict(),
        "densenet121": torchvision.models.densenet121().state_dict(),
        "vgg16": {f"features.{name}": tensor.contiguous() for name, tensor in vgg.items()},
    }
    changes = {}
    for name, state in weights.items():
        torch.save(state, folder / f"{name}.pth")
        changes[f"imagenet__{name}__source"] = (folder / f"{name}.pth").as_uri()
        changes[f"imagenet__{name}__sha256"] = hashlib.sha256((folder / f"{name}.pth").read_bytes()).hexdigest()[:8]
    project.edit_params(
        **changes,
        threads=1,
        dataset="cifar10",
        large_dataset="stl10",
        datasets__cifar10__source=str(cifar),
        datasets__cifar10__md5=hashlib.md5(cifar.read_bytes()).hexdigest(),
        datasets__cifar10__val_size=8,
        datasets__cifar10__epochs=2,
        datasets__stl10__source=stl.as_uri(),
        datasets__stl10__md5="",
        datasets__stl10__val_size=4,
        datasets__stl10__epochs=1,
        datasets__stl10__pretrained=False,
        datasets__stl10__lpips_weights="random",
        train__batch_size=16,
    )
    project.run("git", "init", "--quiet")
    project.commit("before")
    project.output = project.run("dvc", "repro")
    project.left_over = project.run("git", "status", "--porcelain")
    project.commit("after")
    return project


def notes(project: Project) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in project.trace.glob("*.json")}


def rows(project: Project) -> dict[str, dict]:
    """Every stage of dvc.yaml as DVC resolves it, by the name of its note."""
    script = """if True:
        import json
        from dvc.repo import Repo

        found = {}
        for stage in Repo().index.stages:
            params = [key for dep in stage.deps if dep.hash_name == "params" for key in dep.params]
            deps = [dep.def_path for dep in stage.deps if dep.hash_name != "params"]
            outs = [out.def_path for out in stage.outs]
            found[stage.cmd] = {"name": stage.addressing, "deps": deps, "params": params, "outs": outs}
        print(json.dumps(found))
    """
    lines = project.run(sys.executable, "-c", script).splitlines()
    found = json.loads(lines[-1])
    return {cmd.removeprefix("exec python -m ").replace(" ", "_").replace("/", "-"): row for cmd, row in found.items()}


def leaves(prefixes: list[str], content: dict) -> set[str]:
    """Every parameter at or below the declared keys."""
    found = set()
    for prefix in prefixes:
        value = content
        for part in prefix.split("."):
            value = value[part]
        found |= leaves([f"{prefix}.{key}" for key in value], content) if isinstance(value, dict) else {prefix}
    return found


def test_every_stage_ran_and_left_only_what_is_tracked(project):
    assert len(notes(project)) == len(rows(project)) == 18
    changed = {line.split()[-1] for line in project.left_over.splitlines()}
    assert changed <= {"dvc.lock", "metrics/", "report/overview.png"}, changed


def test_imports_are_the_declared_modules(project):
    ran = notes(project)
    for note, row in rows(project).items():
        declared = {dep for dep in row["deps"] if dep.endswith(".py")}
        imported = set(ran[note]["modules"]) - {*PACKAGE_FILES, "stages/__init__.py"}
        assert imported == declared, row["name"]


def test_package_files_have_nothing_to_import():
    for name in [*PACKAGE_FILES, "stages/__init__.py"]:
        assert (ROOT / name).read_text().count('"""') == 2, name
        assert (ROOT / name).read_text().strip().endswith('"""'), name


def test_files_read_are_the_declared_ones(project):
    ran = notes(project)
    for note, row in rows(project).items():
        declared = {dep for dep in row["deps"] if not dep.endswith(".py")}
        if row["name"] == "check":
            assert set(ran[note]["read"]) == declared == {"params.yaml"}
            continue
        # A stage may read what it wrote; archives are checked by their hash.
        outs = [*row["outs"], "data/archives", *LOGS]
        own = {name for name in ran[note]["read"] if any(name == out or name.startswith(f"{out}/") for out in outs)}
        read = set(ran[note]["read"]) - own - ({"params.yaml"} - declared)
        within = {dep: {name for name in read if name == dep or name.startswith(f"{dep}/")} for dep in declared}
        assert read == set().union(*within.values()), row["name"]
        unread = {dep for dep, names in within.items() if not names}
        assert unread == ({"data/params.checked"} if row["name"].startswith("download") else set()), row["name"]


def test_parameters_read_are_the_declared_ones(project):
    content = yaml.safe_load((project.root / "params.yaml").read_text())
    ran, read, declared = notes(project), {}, {}
    for note, row in rows(project).items():
        stage = row["name"].split("@")[0]
        if stage == "check":
            continue  # it depends on the whole file
        own = leaves(row["params"], content)
        assert set(ran[note]["keys"]) <= own, row["name"]
        if stage == "download":  # reads the sources of ImageNet weights where they are asked for: together, all
            read.setdefault(stage, set()).update(ran[note]["keys"])
            declared.setdefault(stage, set()).update(own)
        else:
            assert set(ran[note]["keys"]) == own, row["name"]
    assert read == declared


def test_metrics_have_the_protocol_and_the_baseline(project):
    for name in COLORIZERS:
        found = json.loads((project.root / f"metrics/{name}.json").read_text())
        assert found["n"] == 8
        assert found["data"] == ("stl10" if name == "resnet_large" else "cifar10")
        assert found["start"] == ("imagenet" if name in ("resnet", "resnet_lpips", "densenet") else "random")
        assert found.get("lpips_weights") == ("imagenet" if name == "resnet_lpips" else None)
        assert {"loss", "ssim", "psnr"} <= found["test"].keys()
        assert {"loss", "ssim", "psnr"} <= found["no_colour"].keys()
        assert {"ssim", "psnr", "colourfulness"} == found["rgb"].keys()
    shown = project.run("dvc", "metrics", "show")
    assert all(f"metrics/{name}.json" in shown for name in [*COLORIZERS, "pretext/pretrained", "pretext/xavier"])


def test_weights_know_what_they_are(project):
    for name in COLORIZERS:
        tensors, description = checkpoints.load(project.root / f"models/{name}/best.safetensors")
        assert description["data"] == ("stl10" if name == "resnet_large" else "cifar10")
        assert description["loss"]["name"] == ("lpips" if name == "resnet_lpips" else "mse")
        assert description["train"]["lr"] == params.load(project.root / "params.yaml").train.lr
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        curves = (project.root / f"curves/{name}.csv").read_text().splitlines()
        assert curves[0] == "epoch,train_loss,train_ssim,train_psnr,val_loss,val_ssim,val_psnr"
        losses = [float(line.split(",")[4]) for line in curves[1:]]
        assert description["row"]["val_loss"] == min(losses)
        assert checkpoints.load(project.root / f"models/{name}/last.safetensors")[1]["row"]["epoch"] == len(losses)


def test_the_report_is_whole(project):
    page = (project.root / "report/index.html").read_text()
    assert page.count('"kinds": {"best"') == len(COLORIZERS)  # a gallery each
    assert "report&#39;s loss" in page
    assert ">not run here<" not in page
    assert "Data set stl10" in page
    table = (project.root / "report/results.csv").read_text()
    assert "147.256" in table
    assert imread(project.root / "report/overview.png").std() > 10


def test_plots_are_drawn(project):
    project.run("dvc", "plots", "show")
    page = (project.root / "dvc_plots/index.html").read_text()
    assert page.count("val_loss") >= len(COLORIZERS)
    assert "grids_eccv.png" in page
    project.run("dvc", "plots", "diff", "HEAD")
    shutil.rmtree(project.root / "dvc_plots")


def test_every_list_of_colorizers_is_the_table():
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    table = content["stages"]["train"]["foreach"]
    assert set(table) == set(COLORIZERS)
    assert {name: row["model"] for name, row in table.items()} == check.MODELS
    for plot in content["plots"]:
        if isinstance(plot, dict) and "Pretext" not in next(iter(plot)):
            (definition,) = plot.values()
            assert set(definition["y"]) == {f"curves/{name}.csv" for name in table}


def test_again_does_nothing(project):
    assert project.would_run() == set()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("colorpipe/models/eccv16.py", {"train@eccv", "evaluate@eccv"}),
        ("colorpipe/losses/lpips.py", {"train@resnet_lpips", "evaluate@resnet_lpips"}),
        ("colorpipe/datasets/stl10.py", {"download@stl10", "split@stl10"}),
    ],
)
def test_a_change_in_a_module_reruns_what_imports_it(project, file, stages):
    path = project.root / file
    original = path.read_text()
    path.write_text(original + "\n# changed\n")
    try:
        assert project.would_run() == stages
    finally:
        path.write_text(original)


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        (
            {"loss": "lpips"},
            {f"{stage}@{name}" for stage in ("train", "evaluate") for name in COLORIZERS if name != "resnet_lpips"},
        ),
        ({"models__resnet18__cut": "layer1"}, {"train@resnet", "train@resnet_lpips", "train@resnet_large"}),
        ({"datasets__stl10__epochs": 2}, {"train@resnet_large"}),
        ({"pretext__colorizer": "resnet_lpips"}, {"pretext@pretrained"}),
        ({"lpips__random_seed": 1}, {"download@cifar10", "download@stl10"}),
    ],
)
def test_a_changed_parameter_reruns_what_reads_it(project, changes, stages):
    path = project.root / "params.yaml"
    original = path.read_text()
    project.edit_params(**changes)
    try:
        would = project.would_run() - {"check", "report"}  # which depend on the whole file
        if "models__resnet18__cut" in changes:
            would -= {"pretext@pretrained", "pretext@xavier"}
        assert would == stages
    finally:
        path.write_text(original)


def test_an_experiment_with_another_report_reruns_the_report_alone(project):
    path = project.root / "colorpipe/report.py"
    path.write_text(path.read_text() + "\n# changed\n")
    output = project.run("dvc", "repro")
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == ["Running stage 'report':"]
    project.run("git", "checkout", "--", ".")


def test_a_remote_gives_a_second_clone_everything(project, tmp_path):
    project.run("dvc", "remote", "add", "--force", "--default", "store", str(tmp_path / "store"))
    project.commit("remote")
    project.run("dvc", "push")
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "second"))
    second = Project.at(tmp_path / "second", project)
    ran = "Running stage"
    assert ran not in second.run("dvc", "repro", "--allow-missing")  # before anything is fetched
    assert not (second.root / "models").exists()
    second.run("dvc", "pull")
    assert ran not in second.run("dvc", "repro", "--allow-missing")
    for name in ("models/eccv/best.safetensors", "data/stl10/train.npy", "galleries/resnet.json"):
        assert (second.root / name).read_bytes() == (project.root / name).read_bytes()
    output = second.run("dvc", "repro")  # the page is not DVC's: the report writes it
    assert [line for line in output.splitlines() if line.startswith(ran)] == ["Running stage 'report':"]
    assert ">not run here<" in (second.root / "report/index.html").read_text()
    assert second.run("git", "status", "--porcelain") == ""


def test_the_page_is_that_of_the_results_that_are_here(project):
    page = project.root / "report/index.html"
    before = page.read_text()
    metrics = project.root / "metrics/eccv.json"
    metrics.write_text(metrics.read_text().replace('"best_epoch": ', '"best_epoch": 9'))
    project.run("dvc", "repro", "--single-item", "report")
    assert page.read_text() != before
    project.run("git", "checkout", "--", ".")
    project.run("dvc", "checkout")
    assert "Running stage 'report'" in project.run("dvc", "repro")
    shown = re.compile(r"<section id=\"results\">.*<section id=\"run\">", re.DOTALL)
    first, again = (shown.search(text) for text in (before, page.read_text()))
    assert first[0] == again[0]


def test_artifacts_are_the_trained_colorizers(project, tmp_path):
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert set(content["artifacts"]) == set(content["stages"]["train"]["foreach"])
    project.run("git", "tag", "--annotate", "--message", "the first", "eccv@v1.0.0")
    project.run("dvc", "artifacts", "get", ".", "eccv", "--out", str(tmp_path / "eccv.safetensors"))
    assert checkpoints.load(tmp_path / "eccv.safetensors")[1]["model"] == "eccv16"


def test_live_progress_is_empty_when_nothing_trains(project):
    assert json.loads((project.root / "live/metrics.json").read_text()) == {}
    assert (project.root / "live/plots/metrics/train/accuracy.tsv").exists()  # of the last training


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loss=lipps", "loss: should be 'mse' or 'lpips', not 'lipps'"),
    ],
)
def test_a_wrong_parameter_stops_before_any_stage(project, setting, message):
    output = project.run("dvc", "exp", "run", "-S", setting, code=255)
    assert f"error: params.yaml: {message}" in output
    assert "Traceback" not in output
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == ["Running stage 'check':"]
    project.run("git", "checkout", "--", ".")
