"""docs/extending.md, applied to a copy of the project and run: a loss, a model, and rows that use them."""

import json
import re
import sys

import archives
from project import ROOT, Project

BLOCK = re.compile(r"```(?:python|yaml) ([^\n]+)\n(.*?)```", re.DOTALL)


def test_the_walk_throughs_work(tmp_path):
    project = Project(tmp_path)
    blocks = dict(BLOCK.findall((ROOT / "docs/extending.md").read_text()))
    assert blocks.keys() == {"row", "losses", "models", "colorpipe/losses/huber.py", "colorpipe/models/resnet34.py"}
    for name, content in blocks.items():
        if name.endswith(".py"):
            (project.root / name).write_text(content)
    params = project.root / "params.yaml"
    text = params.read_text()
    for section in ("losses", "models"):
        text = re.sub(rf"(?m)^({section}:.*\n)", lambda found: found[1] + blocks[section], text)  # noqa: B023 - used at once
    params.write_text(text)
    pipeline = project.root / "dvc.yaml"
    rows = blocks["row"] + '      deep: {model: resnet34, data: "${dataset}", loss: "${loss}", init: none}\n'
    content = pipeline.read_text()
    pipeline.write_text(content.replace("    foreach: &colorizers\n", "    foreach: &colorizers\n" + rows))

    archive, *_ = archives.cifar10(tmp_path / "c.tar.gz", 8)
    changes = {"source": str(archive), "md5": "", "val_size": 8, "epochs": 1, "pretrained": False, "lpips_weights": "random"}
    project.edit_params(
        dataset="cifar10", threads=1, **{f"datasets__cifar10__{key}": value for key, value in changes.items()}
    )
    project.run("git", "init", "--quiet")
    project.commit("all")
    project.run("dvc", "repro", "evaluate@resnet_huber", "train@deep")
    assert "metrics/resnet_huber.json" in project.run("dvc", "metrics", "show")
    assert json.loads((project.root / "evaluations/resnet_huber.json").read_text())["loss"] == "huber"
    listed = project.run(sys.executable, "-c", "from colorpipe.app.cli import main; main()", "models")
    assert "resnet34" in listed

    test = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/pipeline/test_pipeline.py", "-k", "new_row"]
    failed = project.run(*test, code=1)
    for words in (
        "add `deep` under `artifacts:`",
        "curves/resnet_huber.csv` to the plot 'Training loss'",
        "${dataset} and huber to",
    ):
        assert words in failed
