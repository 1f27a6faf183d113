"""The tables that documents show, from the files that hold their numbers: `make tables`.

A document says what belongs where: <!-- KIND FOLDER --> begins a table and <!-- end --> ends it.
"""

import json
import re
from pathlib import Path

import pandas as pd

from colorpipe import report
from colorpipe.errors import UserError, run
from experiments import summary

DOCUMENTS = (Path("README.md"), Path("results/cifar10/README.md"))
BLOCK = re.compile(r"<!-- ([\w-]+) ([^\n]+) -->\n.*?<!-- end -->", re.DOTALL)


def main() -> None:
    """Refresh every document."""
    for document in DOCUMENTS:
        if refresh(document):
            print(f"{document}: refreshed")


def refresh(document: Path) -> bool:
    """Write the document's tables anew; whether that changed it."""
    before = document.read_text()
    after = BLOCK.sub(lambda found: block(found[1], Path(found[2])), before)
    if after != before:
        document.write_text(after)
    return after != before


def block(kind: str, folder: Path) -> str:
    """A table between its marks."""
    return f"<!-- {kind} {folder} -->\n{table(kind, folder)}\n<!-- end -->"


def write_readme(folder: Path) -> None:
    """Refresh the README.md of results over seeds; tables that are missing, or the page itself, are added first."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# {folder.name}\n"
    kinds = {
        "colorizers": bool(list(folder.glob("*/*/grid.png"))),
        "pretext": (folder / "pretext").is_dir(),
        "runs": True,
    }
    for kind, wanted in kinds.items():
        if wanted and f"<!-- {kind} " not in text:
            text += f"\n<!-- {kind} {folder} -->\n<!-- end -->\n"
    readme.write_text(text)
    refresh(readme)
    print(f"{readme}\n\n{readme.read_text()}")


def table(kind: str, folder: Path) -> str:
    """A table in Markdown: of a pipeline's metrics, or of results over seeds. Raises UserError for an unknown kind."""
    kinds = {
        "metrics": lambda: report.to_markdown(report.results_table(report.load_metrics(folder))),
        "pretext-metrics": lambda: report.to_markdown(report.pretext_table(report.load_metrics(folder))),
        "colorizers": lambda: summary.colorizers_table(folder),
        "pretext": lambda: summary.pretext_table(folder),
        "runs": lambda: summary.runs_table(folder),
        "throughput": lambda: throughput_table(folder),
    }
    if kind not in kinds:
        raise UserError(f"no table is called {kind!r}; there are {', '.join(kinds)}")
    return kinds[kind]()


def throughput_table(folder: Path) -> str:
    """The first of the benchmarks' tables, without the shares of the time, in Markdown."""
    rows = json.loads((folder / "results.json").read_text())["Training throughput"]
    columns = ["task", "colorpipe", "notebook, no workers", "notebook, 2 workers", "ratio"]
    return report.to_markdown(pd.DataFrame(rows)[columns])


if __name__ == "__main__":
    run(main)
