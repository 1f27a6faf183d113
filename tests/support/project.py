"""A copy of the project to run DVC in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import yaml
from on_path import forks

ROOT = Path(__file__).parents[2]


class Project:
    """A git repository with a copy of the project's files, in which DVC runs."""

    def __init__(self, folder: Path):
        self.root = folder / "project"
        self.trace = folder / "trace"
        self.trace.mkdir()
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in tracked.stdout.splitlines():
            if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("metrics/"):
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name, follow_symlinks=False)
        bin_folder = Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "tests" / "support" / "on_path"),
            "COLORPIPE_TRACE": str(self.trace),
            **({"COLORPIPE_FORKS": forks.start_server()} if sys.platform == "linux" else {}),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "t@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }

    @classmethod
    def at(cls, root: Path, other: Self) -> Self:
        """Return the clone at `root`, run in the environment of `other`."""
        clone = cls.__new__(cls)
        clone.root, clone.trace, clone.environment = root, other.trace, other.environment
        return clone

    def run(self, *command: str, code: int = 0) -> str:
        if command[0] == "dvc":
            command = (sys.executable, "-m", *command)
        result = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def changed_stages(self) -> set[str]:
        """Return the stages that `dvc status` reports as changed."""
        return set(json.loads(self.run("dvc", "status", "--json")))

    def edit_params(self, **changes: object) -> None:
        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *parents, last = key.split("__")
            inner = content
            for parent in parents:
                inner = inner[parent]
            assert last in inner, key
            inner[last] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))
