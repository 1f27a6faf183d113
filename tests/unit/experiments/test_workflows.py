"""The workflows run targets of the Makefile."""

import re
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
                word
                for word in step["run"].partition(">")[0].split()[1:]
                if "=" not in word and "$" not in word
            } <= TARGETS
        else:
            assert step["run"].split()[0] in ("cat", "gh", "mkdir")
