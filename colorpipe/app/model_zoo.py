"""The colorizers that are here, trained by the pipeline or bundled: what each is, what it was trained on, its metrics.

zoo/ holds the bundled ones, with a model card.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colorpipe import files, weights
from colorpipe.config import REFERENCE_ENCODERS
from colorpipe.runtime.errors import UserError, one_line

COLUMNS = (
    "name",
    "model",
    "trained on",
    "pixels",
    "loss",
    "seed",
    "epoch",
    "test loss",
    "SSIM",
    "PSNR",
    "no color",
)
BUNDLED = Path(__file__).parent / "zoo"
STYLES = {
    "vivid": "unet_rebalanced-cifar10",
    "faithful": "unet-cifar10",
}  # of zoo/; the first is the default
DEFAULT = next(iter(STYLES))
FEW_PHOTOGRAPHS = ("photos", "photos96")


def find(folder: Path) -> dict[str, Path]:
    """The weight files by name: those in a folder of folders, then the bundled ones; of equal names the former's."""
    trained = {path.parent.name: path for path in sorted(folder.glob("*/best.safetensors"))}
    trained = {name: path for name, path in trained.items() if name not in REFERENCE_ENCODERS}
    bundled = {path.stem: path for path in sorted(BUNDLED.glob("*.safetensors"))}
    return trained | {name: path for name, path in bundled.items() if name not in trained}


def best(folder: Path, style: str) -> str:
    """The name of the colorizer to use where none is named.

    Of those trained here with a lower squared error of ab on their test set than no color: the most faithful, with the
    lowest error, that of no color being 1; or the most vivid, with the colorfulness nearest to the originals'. But the
    bundled one of that style where none was trained on more than the bundled photographs, which teach little about others.
    """
    scores = {}
    for name, path, metadata in _readable(folder):
        if path.parent == BUNDLED or metadata.get("data") in FEW_PHOTOGRAPHS:
            continue
        try:
            if _is_evaluated(name, metadata) and (gray := _no_color(metadata["data"])):
                error = files.read_json(files.metrics_path(name))["test"]["mse"] / gray["mse"]
                distance = files.read_json(files.evaluation_path(name))["colorfulness_distance"]
                if error < 1:
                    scores[name] = error if style == "faithful" else distance
        except (KeyError, TypeError) as problem:
            raise _damaged(name, problem) from None
    return min(scores, key=lambda name: scores[name], default=STYLES[style])


def table(folder: Path) -> str:
    """One row per colorizer, with its metrics where those in metrics/ are of these very weights."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for name, path, metadata in _readable(folder):
        try:
            size, loss = "x".join(map(str, metadata["size"])), metadata["loss"]["name"]
            run = (metadata["train"]["seed"], metadata["epoch"]["epoch"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} lacks {error}: train it again with `dvc repro`") from None
        rows.append(
            (
                name,
                *map(str, (metadata["model"], metadata["data"], size, loss, *run)),
                *_metrics(name, metadata),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _readable(folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Those of `find` with their metadata; a damaged file is named, and left out."""
    for name, path in find(folder).items():
        try:
            yield name, path, weights.load_metadata(path)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)


def _metrics(name: str, metadata: dict[str, Any]) -> list[str]:
    """The test loss, SSIM and PSNR of these weights, and the loss of no color; blank where they were not tested."""
    test, gray = (
        metadata.get("test"),
        metadata.get("no_color", {}).get("loss"),
    )  # a bundled colorizer brings its own
    path = files.metrics_path(name)
    try:
        if not test and _is_evaluated(name, metadata):
            test, gray = (
                files.read_json(path)["test"],
                files.read_json(files.evaluation_path(name))["baseline_loss"],
            )
        if not test:
            return [""] * 4
        return [
            f"{test['loss']:.4g}",
            f"{test['ssim']:.3f}",
            f"{test['psnr']:.2f}",
            f"{gray:.4g}" if gray else "",
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> UserError:
    return UserError(
        f"{files.metrics_path(name)} or {files.evaluation_path(name)} is damaged ({one_line(error)}): "
        f"run `dvc repro --force evaluate@{name}`"
    )


def _is_evaluated(name: str, metadata: dict[str, Any]) -> bool:
    """Whether the pipeline's evaluation of `name` is of the weights with this metadata."""
    if not (files.metrics_path(name).is_file() and files.evaluation_path(name).is_file()):
        return False
    evaluation = files.read_json(files.evaluation_path(name))
    identity = (
        metadata["data"],
        metadata["train"]["seed"],
        metadata["epoch"]["epoch"],
        metadata["epoch"].get("val_loss"),
    )
    return identity == tuple(evaluation[key] for key in ("data", "seed", "best_epoch", "val_loss"))


def _no_color(data: str) -> dict[str, float] | None:
    """The test metrics of no color on a data set."""
    for path in sorted((files.EVALUATIONS / "baseline").glob("*.json")):
        if files.read_json(path)["data"] == data:
            found: dict[str, float] = files.read_json(files.metrics_path(f"baseline/{path.stem}"))[
                "test"
            ]
            return found
    return None
