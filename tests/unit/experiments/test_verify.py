import json
import shutil
import sys

import pytest
import yaml
from project import Project

from experiments.verify import exceeds_tolerance, find_rule


@pytest.mark.parametrize(
    ("rule", "metric", "old", "new", "far"),
    [
        ("tolerant", "test.loss", 100.0, 109.0, False),
        ("tolerant", "test.loss", 100.0, 111.0, True),
        ("tolerant", "test.ssim", 0.3, 0.36, True),
        ("tolerant", "test.psnr", 18.0, float("nan"), True),
        ("tolerant", "unknown", 1.0, 1.1, True),
        ("tolerant", "test.loss", 100.0, None, True),
        ("tolerant", "test.ssim", None, None, False),
        ("finite", "test.loss", 100.0, 260.0, False),
        ("finite", "test.loss", 100.0, float("nan"), True),
        ("finite", "test.loss", 100.0, None, True),
        ("exact", "test.loss", 700.0, 700.0, False),
        ("exact", "test.loss", 700.0, 700.1, True),
    ],
)
def test_the_tolerance_depends_on_the_rule_and_the_metric(rule, metric, old, new, far):
    assert exceeds_tolerance(metric, old, new, rule) is far


@pytest.mark.parametrize(
    ("file", "rule"),
    [
        ("resnet", "finite"),
        ("unet", "tolerant"),
        ("unet_gan", "tolerant"),
        ("pretext/resnet-finetune-100", "finite"),
        ("baseline/gray", "exact"),
    ],
)
def test_the_rule_depends_on_the_recipe(file, rule):
    assert find_rule(f"metrics/{file}.json") == rule


def test_metrics_are_compared_with_the_committed_ones(tmp_path):
    project = Project(tmp_path)
    content = {"test": {"loss": 100.0, "ssim": 0.3, "mse": 100.0}}
    for name in ("unet", "baseline/gray"):
        evaluation = project.root / f"evaluations/{name}.json"
        evaluation.parent.mkdir(parents=True, exist_ok=True)
        evaluation.write_text('{"data": "photos"}')
    (project.root / "data").mkdir(exist_ok=True)
    (project.root / "data/names.json").write_text('{"colorizers": ["unet"], "baselines": ["gray"]}')
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
    assert verify(0) == ["metrics: 0 files differ from the committed ones", "0 failures"]
    content["test"]["loss"] = 105.0
    assert "- differs: metrics/unet.json test.loss: committed 100.0, here 105.0" in verify(0)
    content["test"]["loss"] = 260.0
    assert "- FAILED: metrics/unet.json test.loss: committed 100.0, here 260.0" in verify(1)
    content["test"]["loss"] = content["test"]["mse"] = 190.0
    assert any(line.startswith("- FAILED: unet: its ab MSE 190.0") for line in verify(1))
    (project.root / "data/names.json").write_text('{"colorizers": ["unet"], "baselines": []}')
    assert not any("its ab MSE" in line for line in verify(1))
    shutil.rmtree(project.root / ".git")
    assert verify(1)[-1] == "error: `dvc metrics diff` failed: its message is above"
