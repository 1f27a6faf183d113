"""The tables in the documents, from the files that hold their numbers: `make tables`.

In a document <!-- KIND FOLDER --> begins a table and <!-- end --> ends it.
"""

import re
import subprocess
import sys
from pathlib import Path

from colorpipe import weights
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from experiments import differences, own_folder, pretext, summary

DOCUMENTS = tuple(
    Path(name)
    for name in (
        "README.md",
        "docs/dvc.md",
        "docs/photographs.md",
        "results/cifar10/README.md",
        "results/cifar10-cpu/README.md",
        "colorpipe/app/zoo/README.md",
    )
)
CARD = ("network", "trained on", "training", "commit, machine", "used at")
BLOCK = re.compile(r"<!-- ([\w-]+) ([^\n]+) -->\n.*?<!-- end -->", re.DOTALL)


def main() -> None:
    """Refresh every document."""
    for document in DOCUMENTS:
        if refresh(document):
            print(f"{document}: refreshed")


def refresh(document: Path) -> bool:
    """Rewrite the document's tables. True where that changed it."""
    before = document.read_text()
    after = BLOCK.sub(lambda found: block(found[1], Path(found[2])), before)
    if after != before:
        document.write_text(after)
    return after != before


def block(kind: str, folder: Path) -> str:
    """A table between its markers."""
    return f"<!-- {kind} {folder} -->\n{table(kind, folder)}\n<!-- end -->"


def write_readme(folder: Path) -> None:
    """Refresh the README.md of results over seeds; missing tables, or the page itself, are added first."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# {folder.name}\n"
    colorizers = bool(list(folder.glob("*/*/grid.png")))
    classifiers = pretext.results(folder)
    decoded = any('"temperatures"' in path.read_text() for path in folder.glob("*/*/metrics.json"))
    kinds = {
        "colorizers": colorizers,
        "colors": colorizers,
        "differences": "|" in differences.table(folder),
        "temperatures": decoded,
        "pretext": not classifiers.empty,
        "pretext-differences": classifiers["seed"].nunique() > 1
        and pretext.REFERENCE in set(classifiers["init"]),
        "pretext-depth": "probe" in set(classifiers["mode"]),
        "runs": True,
    }
    # Paths are relative to the working folder: where another clone wrote the page, they lead nowhere from this one.
    text = BLOCK.sub(
        lambda found: (
            found[0] if Path(found[2]).exists() else found[0].replace(found[2], str(folder), 1)
        ),
        text,
    )
    for kind, wanted in kinds.items():
        if wanted and f"<!-- {kind} " not in text:
            text += f"\n<!-- {kind} {folder} -->\n<!-- end -->\n"
    readme.write_text(text)
    refresh(readme)
    print(f"{readme}\n\n{readme.read_text()}")


def table(kind: str, folder: Path) -> str:
    """A table of the metrics or of results over seeds. Raises UserError for an unknown kind."""
    kinds = {
        "metrics-show": metrics_show,
        "colorizers": lambda: summary.colorizers_table(folder),
        "short": lambda: summary.short_table(folder),
        "colors": lambda: summary.colors_table(folder),
        "differences": lambda: differences.table(folder),
        "temperatures": lambda: summary.temperatures_table(folder),
        "pretext": lambda: pretext.table(folder),
        "pretext-differences": lambda: pretext.differences(folder),
        "pretext-depth": lambda: pretext.depth_table(folder),
        "runs": lambda: summary.runs_table(folder),
        "own-folder": lambda: own_folder.table(own_folder.load(folder)),
        "model-card": lambda: model_card(folder),
    }
    if kind not in kinds:
        raise UserError(f"there is no table {kind!r}: use one of {', '.join(kinds)}")
    return kinds[kind]()


def metrics_show() -> str:
    """What `dvc metrics show` prints, but the row of the running training."""
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", "metrics", "show"], check=True, capture_output=True, text=True
    ).stdout
    lines = [
        line.rstrip() for line in shown.splitlines() if not line.startswith("live/")
    ]  # empty when nothing trains
    return "\n".join(["```", "$ dvc metrics show", *lines, "```"])


def model_card(path: Path) -> str:
    """What a bundled colorizer is and how it did on its test set, from the metadata of its file."""
    metadata = weights.load_metadata(path)
    settings = metadata["train"]
    about = [
        f"{metadata['model']} {metadata['settings']}, {path.stat().st_size / 1e6:.1f} MB in float16",
        f"{metadata['images']}, at {metadata['size'][0]} pixels a side; flips: {settings['flips']}, "
        f"shifts: {settings['shifts']}",
        f"{metadata['loss']['name']}, {settings['optimizer']} at {settings['lr']}, {settings['schedule']}, "
        f"ema {settings['ema']}, batch {settings['batch_size']}, {settings['precision']}; "
        f"epoch {metadata['epoch']['epoch']} of {settings['epochs']}; seed {settings['seed']}; "
        f"{metadata['init']} initial weights",
        f"{metadata['commit']}; {metadata['hardware']}; torch {metadata['torch']}",
        f"{metadata['colorize_size'][0]} pixels a side"
        + (f", T {metadata['temperature']:g}" if "temperature" in metadata else ""),
    ]
    lines = ["| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in zip(CARD, about, strict=True)]
    columns = {
        "MSE of ab": "mse",
        "ab SSIM": "ssim",
        "ab PSNR": "psnr",
        "RGB PSNR": "rgb_psnr",
        "RGB SSIM": "rgb_ssim",
    }
    columns |= {"colorfulness": "colorfulness"}
    rows = {
        f"test set, n = {metadata['test']['n']}": metadata["test"],
        "gray baseline": metadata["no_color"],
    }
    lines += ["", f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    lines += [
        f"| {name} | {' | '.join(f'{row[key]:.4g}' for key in columns.values())} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_main(main)
