import json
import re
import sys

import pytest
from compare_metrics import too_far
from project import ROOT, Project


@pytest.mark.parametrize(
    ("metric", "old", "new", "far"),
    [
        ("test.loss", 100.0, 140.0, False),
        ("test.loss", 100.0, 160.0, True),
        ("test.ssim", 0.3, 0.45, True),
        ("test.accuracy", 0.6, 0.5, False),
        ("test.psnr", 18.0, float("nan"), True),
        ("no_colour.loss", 700.0, 700.1, False),
        ("no_colour.loss", 700.0, 710.0, True),
        ("original.colourfulness", 42.0, 43.0, True),
        ("n", 198, 199, True),
        ("data", "photos", "cifar10", True),
        ("test.loss", 100.0, None, True),
        ("best_epoch", 3, 5, False),
    ],
)
def test_the_tolerance(metric, old, new, far):
    assert too_far(metric, old, new) is far


def test_on_what_dvc_says(tmp_path):
    project = Project(tmp_path)
    path = project.root / "metrics/resnet.json"
    content = {"n": 9, "test": {"loss": 100.0, "ssim": 0.3}, "no_colour": {"loss": 180.0}}

    def verify(code: int) -> list[str]:
        path.write_text(json.dumps(content))
        return project.run(sys.executable, str(ROOT / "tests/compare_metrics.py"), code=code).splitlines()

    path.parent.mkdir()
    path.write_text(json.dumps(content))
    (project.root / "dvc.yaml").write_text("metrics: [metrics/resnet.json]\n")
    project.run("git", "init", "--quiet")
    project.commit("committed")
    assert verify(0) == ["metrics: 0 files differ from the committed ones, 0 failures"]
    content["test"]["loss"] = 120.0
    assert "differs: metrics/resnet.json test.loss: committed 100.0, here 120.0" in verify(0)
    content["test"]["loss"] = 160.0
    assert "TOO FAR: metrics/resnet.json test.loss: committed 100.0, here 160.0" in verify(1)
    content["test"]["loss"] = 190.0
    assert any(line.startswith("NOTHING LEARNT: metrics/resnet.json") for line in verify(1))

    (project.root / "report").mkdir(exist_ok=True)
    (project.root / "report/results.md").write_text("the table\n")
    project.run(sys.executable, "experiments/ci.py", "summary")
    posted = (project.root / "report/summary.md").read_text()
    assert "the table" in posted
    assert re.search(r"\| metrics/resnet\.json \| test\.loss +\| 100\.0 +\| 190\.0 +\| 90\.0", posted)
    assert "](overview.png)" in posted
