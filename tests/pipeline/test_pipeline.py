"""The whole DVC pipeline on small archives in the official formats, and what dvc.yaml declares."""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import archives
import pytest
import timm
import torch
import torchvision
import yaml
from project import ROOT, Project
from skimage.io import imread

from colorpipe import config, weights
from colorpipe.evaluation.table import METRICS
from colorpipe.losses import lpips

PACKAGE_FILES = {
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("colorpipe/**/__init__.py")
}
PACKAGE_FILES -= {"colorpipe/config/__init__.py"}  # holds code, so stages declare it
# Files of git, DVC and DVCLive, and records of trainings. They are not inputs.
LOGS = (".dvc", ".dvcignore", ".git", ".gitignore", "live", "runs")
RUNTIME = "colorpipe/runtime/"  # cannot change a result
PIPELINE = "stages/pipeline.yaml"  # a link to dvc.yaml
WALK_THROUGH = re.compile(r"```(?:python|yaml) ([^\n]+)\n(.*?)```", re.DOTALL)
TABLE = config.load_colorizers()
COLORIZERS = list(TABLE)
REBALANCED = [name for name in TABLE if TABLE[name]["loss"] == "color_classification"]
DEFAULT_LOSS = [name for name in TABLE if TABLE[name]["loss"] == "${loss}"]
PAPER_RECIPE = [name for name in TABLE if TABLE[name]["recipe"] == "train"]
ECCV16 = [name for name in TABLE if TABLE[name]["model"] == "eccv16"]
DATA = ["cifar10", "stl10"]
BASELINES = ["gray", "gray_large"]
ALL_TESTS = {f"evaluate@{name}" for name in COLORIZERS} | {f"baseline@{name}" for name in BASELINES}
CLASSIFIERS = [
    f"pretext/{init}-{mode}-100"
    for init in ("resnet", "xavier", "imagenet")
    for mode in ("finetune", "probe")
]
PRETEXT = {f"pretext@{Path(name).name}" for name in CLASSIFIERS}
EPOCH_METRICS = ["loss", "ssim", "psnr"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """Run the pipeline once on a few images of CIFAR-10 and STL-10.

    Only CIFAR-10 has ImageNet weights.
    """
    folder = tmp_path_factory.mktemp("pipeline")
    project = Project(folder)
    cifar, *_ = archives.cifar10(folder / "cifar.tar.gz", 8)
    stl, *_ = archives.stl10(folder / "stl.tar.gz", 20, 8)
    torch.manual_seed(0)
    slices = lpips.LPIPS(0, "random").network.net.children()
    vgg = {name: tensor for part in slices for name, tensor in part.state_dict().items()}
    sources = {
        "resnet18": torchvision.models.resnet18().state_dict(),
        "densenet121": torchvision.models.densenet121().state_dict(),
        "timm_unet": timm.create_model("tf_efficientnet_lite0").state_dict(),
        "lpips": {f"features.{name}": tensor.contiguous() for name, tensor in vgg.items()},
    }
    changes = {}
    for name, state in sources.items():
        torch.save(state, folder / f"{name}.pth")
        changes[f"imagenet__{name}__source"] = (folder / f"{name}.pth").as_uri()
        changes[f"imagenet__{name}__sha256"] = hashlib.sha256(
            (folder / f"{name}.pth").read_bytes()
        ).hexdigest()[:8]
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
        datasets__stl10__md5=hashlib.md5(stl.read_bytes()).hexdigest(),
        datasets__stl10__val_size=4,
        datasets__stl10__epochs=1,
        datasets__stl10__start="random",
        pretext__inits=["resnet", "xavier", "imagenet"],
        pretext__modes=["finetune", "probe"],
        datasets__stl10__lpips_weights="random",
        train__batch_size=16,
        recipes__refined__epochs_factor=1.0,
        recipes__adversarial__epochs_factor=1.0,
        models__unet={"widths": [16, 24], "blocks": [1, 1]},
    )
    project.run("git", "init", "--quiet")
    project.commit("before")
    project.output = project.run("dvc", "repro")
    project.left_over = project.run("git", "status", "--porcelain")
    project.commit("after")
    return project


def read_notes(project: Project) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in project.trace.glob("*.json")}


def resolve_stages(project: Project) -> dict[str, dict]:
    """Return every stage of dvc.yaml as DVC resolves it, by the name of its note."""
    script = """if True:
        import json
        from dvc.repo import Repo

        resolved = {}
        for stage in Repo().index.stages:
            params = [key for dep in stage.deps if dep.hash_name == "params" for key in dep.params]
            deps = [dep.def_path for dep in stage.deps if dep.hash_name != "params"]
            outs = [out.def_path for out in stage.outs]
            resolved[stage.cmd] = {
                "name": stage.addressing, "deps": deps, "params": params, "outs": outs
            }
        print(json.dumps(resolved))
    """
    lines = project.run(sys.executable, "-c", script).splitlines()
    resolved = json.loads(lines[-1])
    return {"_".join(cmd.split()[3:]).replace("/", "-"): stage for cmd, stage in resolved.items()}


def leaves(prefixes: list[str], content: dict) -> set[str]:
    """Return the parameters at or below the declared keys."""
    keys = set()
    for prefix in prefixes:
        value = content
        for part in prefix.split("."):
            value = value[part]
        keys |= (
            leaves([f"{prefix}.{key}" for key in value], content)
            if isinstance(value, dict) and value
            else {prefix}
        )
    return keys


def test_every_stage_ran_and_changed_only_tracked_files(project):
    count = 2 * len(COLORIZERS) + len(CLASSIFIERS) + 9
    assert len(read_notes(project)) == len(resolve_stages(project)) == count
    changed = {line.split()[-1] for line in project.left_over.splitlines()}
    assert changed <= {"dvc.lock", "metrics/", "report/colorfulness.png", "report/overview.png"}, (
        changed
    )


def covers(declared: str, path: str) -> bool:
    """Return whether a declared file or folder is `path` or contains it."""
    return path == declared or path.startswith(f"{declared}/")


def is_code(path: str) -> bool:
    return path.endswith(".py") or (path.startswith("colorpipe/") and "." not in path)


def test_imports_are_the_declared_ones(project):
    """Every import is declared. Each declared path is imported by a stage of that kind."""
    notes, unused = read_notes(project), {}
    for note, stage in resolve_stages(project).items():
        kind = stage["name"].split("@")[0]
        # `check` imports all models and losses, but its output does not depend on their code.
        if kind == "check":
            continue
        declared = {dep for dep in stage["deps"] if is_code(dep)}
        imported = {path for path in notes[note]["modules"] if not path.startswith(RUNTIME)}
        imported -= {*PACKAGE_FILES, "stages/__init__.py"}
        assert {
            path for path in imported if not any(covers(dep, path) for dep in declared)
        } == set(), stage["name"]
        idle = {dep for dep in declared if not any(covers(dep, path) for path in imported)}
        unused[kind] = unused.get(kind, idle) & idle
    assert {kind: deps for kind, deps in unused.items() if deps} == {}


def test_package_files_contain_only_a_docstring():
    for name in [*PACKAGE_FILES, "stages/__init__.py"]:
        assert (ROOT / name).read_text().count('"""') == 2, name
        assert (ROOT / name).read_text().strip().endswith('"""'), name


def test_files_read_are_the_declared_ones(project):
    notes = read_notes(project)
    for note, stage in resolve_stages(project).items():
        declared = {dep for dep in stage["deps"] if not is_code(dep)}
        if stage["name"] == "check":
            assert declared == {"params.yaml", PIPELINE}
            assert set(notes[note]["read"]) == {"params.yaml", "dvc.yaml"}
            continue
        declared.remove("requirements.lock")  # represents the installed packages
        # A stage may read its own output. Archives are checked by their hash.
        outs = [*stage["outs"], "data/archives", *LOGS]
        own = {
            name
            for name in notes[note]["read"]
            if any(name == out or name.startswith(f"{out}/") for out in outs)
        }
        read = set(notes[note]["read"]) - own - ({"params.yaml"} - declared)
        # The report's stage declares the whole folder colorpipe/report.
        read = {path for path in read if not path.startswith("colorpipe/report/assets/")}
        within = {
            dep: {name for name in read if name == dep or name.startswith(f"{dep}/")}
            for dep in declared
        }
        assert read == set().union(*within.values()), stage["name"]
        unread = {dep for dep, names in within.items() if not names}
        if stage["name"].startswith("evaluate") and stage["name"].split("@")[1] not in REBALANCED:
            unread.remove(next(name for name in unread if name.endswith("/val.npy")))
        assert unread == set(), stage["name"]


def test_parameters_read_are_the_declared_ones(project):
    content = yaml.safe_load((project.root / "params.yaml").read_text())
    notes, read, declared = read_notes(project), {}, {}
    for note, stage in resolve_stages(project).items():
        kind = stage["name"].split("@")[0]
        if kind in ("check", "report"):
            continue  # these depend on the whole file
        own = leaves(stage["params"], content)
        present = leaves(list(content), content)
        notes[note]["keys"] = set(notes[note]["keys"]) & present
        assert set(notes[note]["keys"]) <= own, stage["name"]
        if kind == "download":  # the data sets together read the sources of all models
            read.setdefault(kind, set()).update(notes[note]["keys"])
            declared.setdefault(kind, set()).update(own)
        elif kind == "pretext":  # some keys belong to one mode or to few labels
            mode_specific = {"pretext.neighbors", "pretext.min_steps", "pretext.temperature"}
            assert set(notes[note]["keys"]) >= own - mode_specific, stage["name"]
        elif kind == "train":  # if a recipe sets flips, those of the data set are not read
            flips = {key for key in own if key.startswith("datasets.") and key.endswith("flips")}
            assert set(notes[note]["keys"]) >= own - flips, stage["name"]
        elif kind == "evaluate":  # only models over the color bins have several decodings
            bins_only = {"evaluation.alphas", "evaluation.temperatures"}
            assert set(notes[note]["keys"]) >= own - bins_only, stage["name"]
        else:
            assert set(notes[note]["keys"]) == own, stage["name"]
    assert read == declared


def test_metrics_and_evaluations_have_the_expected_content(project):
    for name in COLORIZERS:
        metrics = json.loads((project.root / f"metrics/{name}.json").read_text())
        assert metrics.keys() == {"test", "rgb", "lpips", "colorfulness"}
        assert metrics["test"].keys() == {"loss", "ssim", "psnr", "mse"}
        assert metrics["rgb"].keys() == {"psnr"}
        run = json.loads((project.root / f"evaluations/{name}.json").read_text())
        assert run["n"] == 8
        assert run["data"] == ("stl10" if name == "resnet_large" else "cifar10")
        imagenet = dict.fromkeys(("resnet", "resnet_lpips", "densenet", "unet_timm"), "imagenet")
        assert run["start"] == (imagenet | {"unet_gan": "unet"}).get(name, "random")
        assert ("vividness" in run) == (name in REBALANCED)
        assert run.get("lpips_weights") == ("imagenet" if name == "resnet_lpips" else None)
    for name in ("gray", "gray_large"):
        metrics = json.loads((project.root / f"metrics/baseline/{name}.json").read_text())
        assert metrics["colorfulness"] < 0.01
        assert metrics["test"]["mse"] > 0


def test_the_results_fit_in_145_characters(project):
    shown = project.run("dvc", "metrics", "show")
    assert max(map(len, shown.splitlines())) <= 145
    columns = shown.splitlines()[0].split()[1:]
    assert set(columns) == {metric.key for metric in METRICS if metric.tracked}
    names = [*COLORIZERS, "baseline/gray", "baseline/gray_large", *CLASSIFIERS]
    assert all(f"metrics/{name}.json" in shown for name in names)


def test_the_weight_files_name_data_loss_and_recipe(project):
    for name in COLORIZERS:
        tensors, metadata = weights.load(project.root / f"models/{name}/best.safetensors")
        assert metadata["data"] == ("stl10" if name == "resnet_large" else "cifar10")
        losses = dict.fromkeys(REBALANCED, "color_classification") | {
            "resnet_lpips": "lpips",
            "unet_gan": "l1",
        }
        assert metadata["loss"]["name"] == losses.get(name, "mse")
        recipe = config.load_params(project.root / "params.yaml").recipe(TABLE[name]["recipe"])
        assert metadata["train"]["lr"] == recipe.lr
        phase = recipe.adversarial.model_dump() if recipe.adversarial else None
        assert metadata.get("adversarial") == phase
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        history = (project.root / f"curves/{name}.csv").read_text().splitlines()
        columns = history[0].split(",")
        assert {
            "epoch",
            *(f"{part}_{key}" for part in ("train", "val") for key in EPOCH_METRICS),
        } <= set(columns)
        losses = [float(line.split(",")[columns.index("val_loss")]) for line in history[1:]]
        assert name == "unet_gan" or metadata["epoch"]["val_loss"] == min(losses)
        last = weights.load_metadata(project.root / f"models/{name}/last.safetensors")
        assert last["epoch"]["epoch"] == len(losses)


def test_the_report_is_complete(project):
    page = (project.root / "report/index.html").read_text()
    assert all(f"<summary>{name}</summary>" in page for name in COLORIZERS)
    assert "paper 147.3</small>" in page
    assert ">no record<" not in page
    assert "Data set stl10" in page
    table = (project.root / "report/results.csv").read_text()
    assert "147.256" in table
    assert imread(project.root / "report/overview.png").std() > 10


def test_plots_are_drawn(project):
    project.run("dvc", "plots", "show")
    page = (project.root / "dvc_plots/index.html").read_text()
    assert all(f'"name": "{name}", "metric": "ab SSIM"' in page for name in COLORIZERS)
    assert "grids_eccv.png" in page
    project.run("dvc", "plots", "diff", "HEAD")
    shutil.rmtree(project.root / "dvc_plots")


def test_a_second_run_has_nothing_to_do(project):
    assert project.changed_stages() == set()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        (
            "colorpipe/models/eccv16.py",
            {f"{stage}@{name}" for stage in ("train", "evaluate") for name in ECCV16},
        ),
        (
            "colorpipe/losses/color_classification.py",
            {f"{stage}@{name}" for stage in ("train", "evaluate") for name in REBALANCED},
        ),
        ("colorpipe/losses/lpips.py", {"train@resnet_lpips", *ALL_TESTS}),
        ("colorpipe/evaluation/table.py", {*ALL_TESTS, "report"}),
        ("colorpipe/training/adversarial.py", {"train@unet_gan"}),
        (
            "colorpipe/config/checks.py",
            {
                *("check", "encoders", "report", *ALL_TESTS),
                *(f"{stage}@{data}" for stage in ("download", "split") for data in DATA),
            },
        ),
        ("colorpipe/runtime/errors.py", set()),
        ("colorpipe/runtime/process.py", set()),
        ("colorpipe/app/cli.py", set()),
        ("requirements-dev.lock", set()),
        ("colorpipe/pretext/finetune.py", PRETEXT),
    ],
)
def test_a_change_in_a_file_reruns_what_declares_it(project, file, stages):
    path = project.root / file
    original = path.read_text()
    path.write_text(original + "\n# changed\n")
    try:
        assert project.changed_stages() == stages
    finally:
        path.write_text(original)


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        (
            {"loss": "lpips"},
            {f"{stage}@{name}" for stage in ("train", "evaluate") for name in DEFAULT_LOSS}
            | {"baseline@gray", "baseline@gray_large"},
        ),
        (
            {"models__resnet18__cut": "layer1"},
            {f"train@{name}" for name in ("resnet", "resnet_lpips", "resnet_large")},
        ),
        ({"datasets__stl10__epochs": 2}, {"train@resnet_large"}),
        (
            {
                "losses__color_classification__uniform_share": 0.9,
                "losses__color_classification__sigma": 4.0,
            },
            {f"{stage}@{name}" for stage in ("train", "evaluate") for name in REBALANCED},
        ),
        ({"train__lr": 0.0003}, {f"train@{name}" for name in PAPER_RECIPE} | PRETEXT),
        ({"processes": 2}, {f"train@{name}" for name in COLORIZERS}),
        ({"recipes__refined__lr": 0.001}, {"train@unet", "train@unet_rebalanced"}),
        ({"evaluation__temperature": 1.0}, {f"evaluate@{name}" for name in COLORIZERS}),
        (
            {"pretext__inits": ["resnet_lpips", "xavier"], "pretext__modes": ["finetune"]},
            {"pretext@resnet_lpips-finetune-100"},
        ),
        (
            {"pretext__labels": [10, 100], "pretext__modes": ["knn"], "pretext__inits": ["xavier"]},
            {"pretext@xavier-knn-10", "pretext@xavier-knn-100"},
        ),
        ({"pretext__min_steps": 7}, PRETEXT),
        ({"losses__lpips__random_seed": 1}, {"train@resnet_lpips", *ALL_TESTS}),
        ({"datasets__cifar10__start": "random"}, {"download@cifar10"}),
    ],
)
def test_a_changed_parameter_reruns_what_reads_it(project, changes, stages):
    path = project.root / "params.yaml"
    original = path.read_text()
    project.edit_params(**changes)
    try:
        changed = project.changed_stages() - {"check", "report"}  # these depend on the whole file
        if "models__resnet18__cut" in changes:
            changed -= {"encoders", *PRETEXT}
        assert changed == stages
    finally:
        path.write_text(original)


def test_a_change_in_the_report_reruns_the_report_alone(project):
    path = project.root / "colorpipe/report/tables.py"
    path.write_text(path.read_text() + "\n# changed\n")
    output = project.run("dvc", "repro")
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'report':"
    ]
    project.run("git", "checkout", "--", ".")


def test_a_remote_gives_a_second_clone_everything(project, tmp_path):
    project.run("dvc", "remote", "add", "--force", "--default", "store", str(tmp_path / "store"))
    project.commit("remote")
    project.run("dvc", "push")
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "second"))
    second = Project.at(tmp_path / "second", project)
    ran = "Running stage"
    assert ran not in second.run("dvc", "repro", "--allow-missing")  # before `dvc pull`
    assert not (second.root / "models").exists()
    second.run("dvc", "pull")
    assert ran not in second.run("dvc", "repro", "--allow-missing")
    for name in ("models/eccv/best.safetensors", "data/stl10/train.npy", "galleries/resnet.json"):
        assert (second.root / name).read_bytes() == (project.root / name).read_bytes()
    output = second.run("dvc", "repro")  # writes the page, which DVC does not track
    assert [line for line in output.splitlines() if line.startswith(ran)] == [
        "Running stage 'report':"
    ]
    assert ">no record<" in (second.root / "report/index.html").read_text()
    assert second.run("git", "status", "--porcelain") == ""


def test_the_page_shows_the_current_results(project):
    page = project.root / "report/index.html"
    before = page.read_text()
    metrics = project.root / "metrics/eccv.json"
    metrics.write_text(metrics.read_text().replace('"mse": ', '"mse": 9'))
    project.run("dvc", "repro", "--single-item", "report")
    shown = re.compile(r"<section id=\"results\">.*<section id=\"run\">", re.DOTALL)
    first, changed = (shown.search(text) for text in (before, page.read_text()))
    assert first[0] != changed[0]
    project.run("git", "checkout", "--", ".")
    project.run("dvc", "checkout")
    assert "Running stage 'report'" in project.run("dvc", "repro")
    again = shown.search(page.read_text())
    assert first[0] == again[0]


def test_live_metrics_are_empty_when_nothing_trains(project):
    assert json.loads((project.root / "live/metrics.json").read_text()) == {}
    # The plots of the last training stay.
    assert (project.root / "live/plots/metrics/train/accuracy.tsv").exists()


def test_a_wrong_parameter_stops_before_any_stage_and_is_easy_to_undo(project):
    """The wrong value has the length of the right one. git must still see that the file changed."""
    output = project.run("dvc", "exp", "run", "-S", "loss=l2x", code=255)
    assert "error: params.yaml: loss: input should be 'mse', 'l1', 'lpips'" in output
    assert "got 'l2x'. To restore" in output
    assert "Traceback" not in output
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'check':"
    ]
    assert project.run("git", "status", "--porcelain").split() == ["M", "params.yaml"]
    project.run("git", "checkout", "params.yaml")
    assert project.run("git", "status", "--porcelain") == ""
    project.run("dvc", "repro", "check")


def test_the_examples_of_extending_md_work(project):
    """Add a loss, a model, colorizers that use them and a metric. Remove the colorizers again."""
    blocks = dict(WALK_THROUGH.findall((ROOT / "docs/extending.md").read_text()))
    modules = [name for name in blocks if name.endswith(".py")]
    assert blocks.keys() - set(modules) == {"colorizer", "losses", "models", "metric", "import"}
    for name in modules:
        (project.root / name).write_text(blocks[name])
    params, pipeline = project.root / "params.yaml", project.root / "dvc.yaml"
    text = params.read_text()
    for section in ("losses", "models"):
        text = text.replace(f"\n{section}:\n", f"\n{section}:\n{blocks[section]}")
    params.write_text(text)
    columns = 'model: resnet34, data: "${dataset}", loss: "${loss}", recipe: train'
    start = 'step: colorization, start: "data/${dataset}/weights/resnet34"'
    entries = blocks["colorizer"] + f"      deep: {{{columns}, {start}}}\n"
    head = "    foreach: &colorizers\n"
    original = pipeline.read_text()
    pipeline.write_text(original.replace(head, head + entries))
    metrics = project.root / "colorpipe/evaluation/table.py"
    text = metrics.read_text().replace(
        "\nMETRICS = (\n", f"\nMETRICS = (\n{blocks['metric'].strip()},\n"
    )
    metrics.write_text(
        text.replace(
            "from colorpipe import metrics\n", f"from colorpipe import metrics\n{blocks['import']}"
        )
    )

    output = project.run("dvc", "repro")
    trained = set(re.findall(r"Running stage '(train@\w+)'", output))
    assert trained == {"train@resnet_huber", "train@deep"}
    tested = set(re.findall(r"Running stage '((?:evaluate|baseline)@\w+)'", output))
    assert tested == {*ALL_TESTS, "evaluate@resnet_huber", "evaluate@deep"}
    evaluation = json.loads((project.root / "evaluations/resnet_huber.json").read_text())
    assert evaluation["loss"] == "huber"
    assert evaluation["chroma_error"] > 0
    page = (project.root / "report/index.html").read_text()
    assert all(f"<summary>{name}</summary>" in page for name in ("resnet_huber", "deep"))
    assert "loss: huber" in page
    assert "| chroma error |" in (project.root / "report/results.md").read_text()
    command = (sys.executable, "-c", "from colorpipe.app.cli import main; main()", "models")
    assert "resnet34" in project.run(*command)
    assert "metrics/deep.json" in project.run("dvc", "metrics", "show")

    pipeline.write_text(original)  # the metrics of the removed colorizers stay
    output = project.run("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", output) == ["check", "report"]
    page = (project.root / "report/index.html").read_text()
    assert "resnet_huber" not in page
    assert "resnet_huber" not in (project.root / "report/results.md").read_text()
