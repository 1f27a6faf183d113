"""The trained and the bundled colorizers: their weight files and the table of their metrics.

The folder bundled/ holds the weight file of the bundled colorizer and its model card.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colorpipe import files, weights
from colorpipe.config import REFERENCE_ENCODERS, load_colorizers
from colorpipe.runtime.errors import UserError, one_line

INFO_COLUMNS = ("name", "model", "trained on", "pixels", "loss", "seed", "epoch")
METRIC_COLUMNS = ("ab MSE", "ab SSIM", "ab PSNR", "gray ab MSE")
TEST_SET = ("data", "n", "original_colorfulness")  # equal in two results on the same test images


def list_colorizers(folder: Path) -> dict[str, Path]:
    """Return the weight files of all colorizers by name.

    The colorizers trained in `folder` come first, then `bundled`. This name always means the
    bundled colorizer.
    """
    trained = weights.list_weights(folder)
    colorizers = {name: path for name, path in trained.items() if name not in REFERENCE_ENCODERS}
    return colorizers | {weights.BUNDLED: weights.BUNDLED_PATH}


def find_colorizer(choice: str) -> Path:
    """Return the weight file of a colorizer, as `weights.find_weights` does.

    Raises:
        UserError: There is no such weight file. If dvc.yaml has the colorizer, the message says
            how to train it.
    """
    try:
        return weights.find_weights(choice, "--model")
    except UserError:
        if not _can_be_trained(choice):
            raise
        raise UserError(
            f"--model {choice}: it is not trained yet: run `dvc repro train@{choice}`, or use "
            "bundled"
        ) from None


def _can_be_trained(name: str) -> bool:
    """Return whether dvc.yaml has a colorizer of this name that is not being trained."""
    with contextlib.suppress(UserError):  # there is no dvc.yaml here, or it is damaged
        return name in load_colorizers() and not weights.is_training(name)
    return False


def load_evaluation(path: Path, metadata: dict[str, Any]) -> dict[str, Any] | None:
    """Return evaluations/<colorizer>.json, or None if these weights have not been evaluated.

    Args:
        path: The weight file models/<colorizer>/best.safetensors.
        metadata: Its metadata.

    Raises:
        UserError: The file is damaged.
    """
    evaluation_path = _find_result(path, files.evaluation_path)
    if path.stem != "best" or not evaluation_path.is_file():
        return None
    evaluation = _read_results(evaluation_path)
    try:
        epoch = metadata["epoch"]
        run = {
            "data": metadata["data"],
            "seed": metadata["train"]["seed"],
            "best_epoch": epoch["epoch"],
            "val_loss": files.round_numbers(epoch["val_loss"]),
        }
    except (KeyError, TypeError):  # not a file that `dvc repro` wrote
        return None
    return evaluation if run.items() <= evaluation.items() else None


def format_table(folder: Path) -> str:
    """Return a table of the colorizers in `folder` and of the bundled colorizer.

    A damaged weight file is left out and named on stderr.

    Raises:
        UserError: A weight file has incomplete metadata, or a metrics file is damaged.
    """
    rows: list[tuple[str, ...]] = [(*INFO_COLUMNS, *METRIC_COLUMNS)]
    for name, path in list_colorizers(folder).items():
        try:
            metadata = weights.load_metadata(path)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        rows.append((name, *_describe(path, metadata), *_format_metrics(path, metadata)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _describe(path: Path, metadata: dict[str, Any]) -> tuple[str, ...]:
    try:
        pixels, loss = "x".join(map(str, metadata["size"])), metadata["loss"]["name"]
        seed, epoch = metadata["train"]["seed"], metadata["epoch"]["epoch"]
        return metadata["model"], metadata["data"], pixels, loss, str(seed), str(epoch)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: its metadata lacks {error}: {weights.remedy(path)}") from None


def _format_metrics(path: Path, metadata: dict[str, Any]) -> tuple[str, ...]:
    try:
        metrics = _read_metrics(path, metadata)
        if metrics is None:
            return ("",) * len(METRIC_COLUMNS)
        formats = (".4g", ".3f", ".2f", ".4g")
        return tuple(
            "" if value is None else format(value, digits)  # null if it is not finite
            for value, digits in zip(metrics, formats, strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        name = path.parent.name
        raise UserError(
            f"{files.metrics_path(name)} or {files.evaluation_path(name)} is damaged "
            f"({one_line(error)}): run `dvc repro --force evaluate@{name}`"
        ) from None


def _read_metrics(path: Path, metadata: dict[str, Any]) -> tuple[float | None, ...] | None:
    """Return the ab MSE, SSIM and PSNR of these weights, and the gray baseline's ab MSE.

    Return None if the weights with this metadata have not been evaluated.
    """
    if "test" in metadata:  # the bundled weight file
        test, baseline_mse = metadata["test"], metadata["baseline"]["mse"]
    else:
        evaluation = load_evaluation(path, metadata)
        if evaluation is None:
            return None
        test = _read_results(_find_result(path, files.metrics_path))["test"]
        baseline_mse = _find_baseline_mse(_find_project(path), evaluation)
    return test["mse"], test["ssim"], test["psnr"], baseline_mse


def _find_baseline_mse(project: Path, evaluation: dict[str, Any]) -> float | None:
    """Return the gray baseline's ab MSE on the test set of an evaluation, or None if unknown."""
    for path in sorted((project / files.EVALUATIONS / "baseline").glob("*.json")):
        baseline = _read_results(path)
        if share_test_set(baseline, evaluation):
            metrics = _read_results(project / files.metrics_path(f"baseline/{path.stem}"))
            mse: float | None = metrics["test"]["mse"]
            return mse
    return None


def share_test_set(evaluation: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two contents of evaluations/ are results on the same test images."""
    return all(evaluation.get(key) == other.get(key) for key in TEST_SET)


def _find_result(path: Path, result: Callable[[str], Path]) -> Path:
    """Return the file of a colorizer's result.

    Args:
        path: The weight file models/<colorizer>/<file>.
        result: `files.metrics_path` or `files.evaluation_path`.
    """
    return _find_project(path) / result(path.absolute().parent.name)


def _find_project(path: Path) -> Path:
    """Return the folder of the project that has the weight file models/<colorizer>/<file>."""
    path = path if len(path.parents) > 2 else path.absolute()
    return path.parent.parent.parent


def _read_results(path: Path) -> dict[str, Any]:
    results = files.read_json(path)
    if not isinstance(results, dict):
        raise UserError(f"{path} is damaged: delete it and run `dvc repro`")
    return results
