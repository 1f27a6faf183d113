"""Write report/summary.md: a run's results, and what changed against the commit, for CI to post.

The figures are on the page, which CI keeps as an artifact.
"""

import subprocess
import sys
from pathlib import Path

REPORT = Path("report")
SUMMARY = REPORT / "summary.md"


def run(*command: str) -> str:
    """Return what a command prints. If it fails, end this process with its last line."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()
        sys.exit(f"error: {' '.join(command[:2])}: {lines[-1]}")
    return done.stdout.strip()


def main() -> None:
    """Write the results and DVC's table of differences to the last commit."""
    results = REPORT / "results.md"
    if not results.is_file():
        sys.exit(f"error: {results} is missing: run `dvc repro` to create it")
    diff = run("dvc", "metrics", "diff", "--md", "HEAD")
    commit = run("git", "rev-parse", "--short", "HEAD")
    details = f"<details><summary>Against {commit}</summary>\n\n{diff}\n\n</details>"
    parts = [
        "## Results",
        results.read_text().strip(),
        "## `dvc metrics diff`",
        details if diff else "No metric differs from the commit's.",
    ]
    SUMMARY.write_text("\n\n".join(parts) + "\n")
    print(SUMMARY)


if __name__ == "__main__":
    main()
