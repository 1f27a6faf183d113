import json
import re
import sys

import pytest
from project import Project

from experiments.verify import exceeds_tolerance


@pytest.mark.parametrize(
    ("file", "metric", "old", "new", "far"),
    [
        ("resnet", "test.loss", 100.0, 240.0, False),
        ("resnet", "test.loss", 100.0, 260.0, True),
        ("resnet", "test.ssim", 0.3, 0.46, True),
        ("resnet", "top1", 0.6, 0.5, False),
        ("resnet", "test.psnr", 18.0, float("nan"), True),
        ("baseline/gray", "test.loss", 700.0, 700.0, False),
        ("baseline/gray", "test.loss", 700.0, 700.1, True),
        ("resnet", "colorfulness", 42.0, 43.0, False),
        ("resnet", "unknown", 1.0, 1.1, True),
        ("resnet", "test.loss", 100.0, None, True),
        ("resnet", "test.ssim", None, None, False),
    ],
)
def test_the_tolerance(file, metric, old, new, far):
    assert exceeds_tolerance(f"metrics/{file}.json", metric, old, new) is far


def test_on_what_dvc_says(tmp_path):
    project = Project(tmp_path)
    path = project.root / "metrics/resnet.json"
    content = {"test": {"loss": 100.0, "ssim": 0.3, "mse": 100.0}}
    for name in ("resnet", "baseline/gray"):
        evaluation = project.root / f"evaluations/{name}.json"
        evaluation.parent.mkdir(parents=True, exist_ok=True)
        evaluation.write_text('{"data": "photos"}')
    (project.root / "data").mkdir(exist_ok=True)
    (project.root / "data/names.json").write_text('{"colorizers": ["resnet"]}')
    (project.root / "metrics/baseline").mkdir(parents=True)
    (project.root / "metrics/baseline/gray.json").write_text('{"test": {"mse": 180.0}}')

    def verify(code: int) -> list[str]:
        path.write_text(json.dumps(content))
        return project.run(sys.executable, "-m", "experiments.verify", code=code).splitlines()

    path.write_text(json.dumps(content))
    (project.root / "dvc.yaml").write_text("metrics: [metrics/resnet.json]\n")
    project.run("git", "init", "--quiet")
    project.commit("committed")
    assert verify(0) == ["metrics: 0 files differ from the committed ones, 0 failures"]
    content["test"]["loss"] = 120.0
    assert "differs: metrics/resnet.json test.loss: committed 100.0, here 120.0" in verify(0)
    content["test"]["loss"] = 260.0
    assert "TOO FAR: metrics/resnet.json test.loss: committed 100.0, here 260.0" in verify(1)
    content["test"]["loss"] = content["test"]["mse"] = 190.0
    assert any(line.startswith("NOTHING LEARNED: resnet: its ab MSE 190.0") for line in verify(1))

    (project.root / "report").mkdir(exist_ok=True)
    (project.root / "report/results.md").write_text("the table\n")
    project.run(sys.executable, "experiments/ci.py")
    posted = (project.root / "report/summary.md").read_text()
    assert "the table" in posted
    assert re.search(
        r"\| metrics/resnet\.json \| test\.loss +\| 100\.0 +\| 190\.0 +\| 90\.0", posted
    )
