"""What CI posts about a run: the results, what changed against the commit, the figures. Standard library only.

`summary` writes report/summary.md; `publish` pushes its figures to a branch for them, so that a run's summary and a pull
request can show them, and points it at them.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPORT = Path("report")
SUMMARY = REPORT / "summary.md"
BRANCH = "ci-figures"
FIGURES = {
    "overview.png": "Test images in gray, as each colorizer predicts them, and the originals",
    "colorfulness.png": "Squared error of ab against colorfulness, with no color and the originals",
    "curves.png": "Loss, SSIM and PSNR of every colorizer by epoch",
    "pretext.png": "The pretext task: accuracy by labels and by depth where several were asked for, and training curves",
}
LINK = re.compile(r"\]\((" + "|".join(map(re.escape, FIGURES)) + r")\)")


def run(*command: str, **environment: str) -> str:
    """What a command prints. A failing one ends this process with its last line."""
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()
        sys.exit(f"error: {' '.join(command[:2])}: {lines[-1]}")
    return done.stdout.strip()


def summary() -> None:
    """The results, DVC's table of differences to the last commit, and the figures."""
    if not (REPORT / "results.md").is_file():
        sys.exit(f"error: {REPORT / 'results.md'} is missing: run dvc repro")
    diff = run("dvc", "metrics", "diff", "--md", "HEAD")
    parts = [
        "## Results",
        (REPORT / "results.md").read_text().strip(),
        "## `dvc metrics diff`",
        f"<details><summary>Against {run('git', 'rev-parse', '--short', 'HEAD')}</summary>\n\n{diff}\n\n</details>"
        if diff
        else "No metric differs from the commit's.",
        "## Figures",
        *(f"![{words}]({name})" for name, words in FIGURES.items()),
    ]
    SUMMARY.write_text("\n\n".join(parts) + "\n")
    print(SUMMARY)


def publish(remote: str, url: str, folder: str) -> None:
    """Push the figures as <folder>/ of BRANCH, which holds nothing else, and link to them at <url>/<commit>/<folder>/."""
    if not SUMMARY.is_file() or not LINK.search(text := SUMMARY.read_text()):
        sys.exit(f"error: {SUMMARY} has no figures to publish: run make summary")
    head = run("git", "ls-remote", remote, f"refs/heads/{BRANCH}").split("\t")[0]
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": f"{scratch}/index"}
        if head:
            run("git", "fetch", "--quiet", "--depth", "1", remote, head)
            run("git", "read-tree", head, **index)
        for name in FIGURES:
            blob = run("git", "hash-object", "-w", str(REPORT / name))
            run(
                "git",
                "update-index",
                "--add",
                "--cacheinfo",
                f"100644,{blob},{folder}/{name}",
                **index,
            )
        tree = run("git", "write-tree", **index)
    author = {
        f"GIT_{who}_{what}": "ci" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    commit = run(
        "git",
        "commit-tree",
        tree,
        "-m",
        f"Figures of {folder}",
        *(["-p", head] if head else []),
        **author,
    )
    run("git", "push", "--quiet", remote, f"{commit}:refs/heads/{BRANCH}")
    SUMMARY.write_text(LINK.sub(rf"]({url}/{commit}/{folder}/\1)", text))
    print(f"{BRANCH}: {commit}")


def main() -> None:
    """The commands that the Makefile's targets call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    commands.add_parser("summary").set_defaults(call=summary)
    command = commands.add_parser("publish")
    command.add_argument("--remote", default="origin", help="the git remote to push to")
    command.add_argument(
        "--url", required=True, help="where the remote serves files: <url>/<commit>/<path>"
    )
    command.add_argument("--folder", required=True, help="of the branch, for this run")
    command.set_defaults(call=publish)
    options = vars(parser.parse_args())
    options.pop("call")(**options)


if __name__ == "__main__":
    main()
