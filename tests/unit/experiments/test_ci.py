"""What CI runs: the workflows are thin over make, and a run's results are posted with their figures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z0-9]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(path: Path) -> list[dict]:
    return [
        step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_steps_are_make_targets(path):
    assert len(WORKFLOWS) == 2
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        elif step["run"].startswith("make "):
            assert {
                word for word in step["run"].split()[1:] if "=" not in word and "$" not in word
            } <= TARGETS
        else:
            assert step["run"].split()[0] in ("cat", "gh", "mkdir")


def ci(folder: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, str(ROOT / "experiments/ci.py"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_figures_are_pushed_and_linked(tmp_path):
    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=tmp_path / "clone", capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "remote.git")], check=True)
    (tmp_path / "clone/report").mkdir(parents=True)
    git("init", "--quiet")
    git("remote", "add", "origin", str(tmp_path / "remote.git"))
    for name in ("overview", "colorfulness", "curves", "pretext"):
        (tmp_path / f"clone/report/{name}.png").write_bytes(name.encode())
    summary = tmp_path / "clone/report/summary.md"
    for folder in ("1-1", "2-1"):
        summary.write_text("![words](curves.png) ![other](elsewhere.png)")
        ci(tmp_path / "clone", "publish", "--url", "https://example.org/raw", "--folder", folder)
        pushed = git("ls-remote", "origin", "refs/heads/ci-figures").split()[0]
        assert (
            summary.read_text()
            == f"![words](https://example.org/raw/{pushed}/{folder}/curves.png) ![other](elsewhere.png)"
        )
    assert git("ls-tree", "-r", "--name-only", pushed).split() == [
        f"{folder}/{name}.png"
        for folder in ("1-1", "2-1")
        for name in ("colorfulness", "curves", "overview", "pretext")
    ]
    assert git("show", f"{pushed}:1-1/curves.png") == "curves"
    assert git("status", "--porcelain") == "?? report/"  # nothing is staged here
    assert "has no figures to publish" in ci(
        tmp_path / "clone", "publish", "--url", "u", "--folder", "f", code=1
    )
    summary.write_text("![words](curves.png)")
    git("remote", "set-url", "origin", str(tmp_path / "none"))
    assert "error: git ls-remote: " in ci(
        tmp_path / "clone", "publish", "--url", "u", "--folder", "f", code=1
    )
