import json
import re
import sys

import pytest
import yaml
from project import Project

from experiments.verify import exceeds_tolerance


@pytest.mark.parametrize(
    ("file", "metric", "old", "new", "far"),
    [
        ("unet", "test.loss", 100.0, 109.0, False),
        ("unet", "test.loss", 100.0, 111.0, True),
        ("unet", "test.ssim", 0.3, 0.36, True),
        ("unet", "test.psnr", 18.0, float("nan"), True),
        ("unet", "unknown", 1.0, 1.1, True),
        ("unet", "test.loss", 100.0, None, True),
        ("unet", "test.ssim", None, None, False),
        ("resnet", "test.loss", 100.0, 260.0, False),
        ("resnet", "test.loss", 100.0, float("nan"), True),
        ("resnet", "test.loss", 100.0, None, True),
        ("pretext/unet-finetune-100", "top1", 0.6, 0.4, False),
        ("baseline/gray", "test.loss", 700.0, 700.0, False),
        ("baseline/gray", "test.loss", 700.0, 700.1, True),
    ],
)
def test_the_tolerance(file, metric, old, new, far):
    assert exceeds_tolerance(f"metrics/{file}.json", metric, old, new) is far


def test_on_what_dvc_says(tmp_path):
    project = Project(tmp_path)
    content = {"test": {"loss": 100.0, "ssim": 0.3, "mse": 100.0}}
    for name in ("unet", "baseline/gray"):
        evaluation = project.root / f"evaluations/{name}.json"
        evaluation.parent.mkdir(parents=True, exist_ok=True)
        evaluation.write_text('{"data": "photos"}')
    (project.root / "data").mkdir(exist_ok=True)
    (project.root / "data/names.json").write_text('{"colorizers": ["unet"]}')
    (project.root / "metrics/baseline").mkdir(parents=True)
    (project.root / "metrics/baseline/gray.json").write_text('{"test": {"mse": 180.0}}')
    columns = dict.fromkeys(("model", "data", "loss", "step", "start"), "x")
    table = {"unet": {**columns, "recipe": "recipes.refined"}}
    stages = {"train": {"foreach": table, "do": {"cmd": "true"}}}
    pipeline = {"metrics": ["metrics/unet.json"], "stages": stages}
    (project.root / "dvc.yaml").write_text(yaml.safe_dump(pipeline))

    def verify(code: int) -> list[str]:
        (project.root / "metrics/unet.json").write_text(json.dumps(content))
        return project.run(sys.executable, "-m", "experiments.verify", code=code).splitlines()

    (project.root / "metrics/unet.json").write_text(json.dumps(content))
    project.run("git", "init", "--quiet")
    project.commit("committed")
    assert verify(0) == ["metrics: 0 files differ from the committed ones, 0 failures"]
    content["test"]["loss"] = 105.0
    assert "differs: metrics/unet.json test.loss: committed 100.0, here 105.0" in verify(0)
    content["test"]["loss"] = 260.0
    assert "TOO FAR: metrics/unet.json test.loss: committed 100.0, here 260.0" in verify(1)
    content["test"]["loss"] = content["test"]["mse"] = 190.0
    assert any(line.startswith("NOTHING LEARNED: unet: its ab MSE 190.0") for line in verify(1))

    (project.root / "report").mkdir(exist_ok=True)
    (project.root / "report/results.md").write_text("the table\n")
    project.run(sys.executable, "experiments/ci.py")
    posted = (project.root / "report/summary.md").read_text()
    assert "the table" in posted
    assert re.search(r"\| metrics/unet\.json \| test\.loss +\| 100\.0 +\| 190\.0 +\| 90\.0", posted)
