"""The results that the other stages wrote: metrics, what they belong to, and training histories."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from colorpipe import files
from colorpipe.evaluation.table import METRICS
from colorpipe.runtime.errors import UserError, missing_output, one_line

CURVE_TITLES = {"ssim": "ab SSIM", "psnr": "ab PSNR (dB)", "accuracy": "accuracy"}  # and the loss


@dataclass(frozen=True)
class Result:
    """The test result of a colorizer, of a gray baseline, or of a classifier of the pretext task.

    Attributes:
        evaluation: The content of evaluations/<name>.json. It says what the result belongs to
            (data, n, seed, loss).
        metrics: The metrics in metrics/<name>.json and evaluations/<name>.json by the keys of
            `evaluation.table`. A metric that is not finite is NaN.
    """

    evaluation: Mapping[str, Any]
    metrics: Mapping[str, float]

    @property
    def setting(self) -> tuple[str, str]:
        """The data set and the label of the loss. Test losses compare only within a setting."""
        return self.evaluation["data"], loss_label(self.evaluation)

    @property
    def vividness_path(self) -> list[tuple[float, float]]:
        """Colorfulness and ab MSE of the test images, decoded from faithful to vivid.

        The list is empty if the colorizer does not classify over the color bins, or if one decoding
        is both faithful and vivid.
        """
        points = self.evaluation.get("test_vividness", ())
        path = [(point["colorfulness"], point["mse"]) for point in points]
        return path if len(set(path)) > 1 else []


def loss_label(evaluation: Mapping[str, Any]) -> str:
    """Return the name of a loss and what else decides its value.

    LPIPS depends on the weights of its VGG, and a loss over color bins on the resolution of the
    logits. A pretext classifier has no choice of losses, so its label is empty.

    Args:
        evaluation: The content of evaluations/<name>.json.
    """
    if "lpips_weights" in evaluation:
        return f"lpips, {evaluation['lpips_weights']} VGG"
    loss = str(evaluation.get("loss", ""))
    return f"{loss} at 1/{evaluation['logits_stride']}" if "logits_stride" in evaluation else loss


def split_label(label: str) -> tuple[str, str]:
    """Return the name of the loss in a `loss_label`, and the weights of its VGG or ""."""
    name, _, vgg = label.partition(", ")
    return name.partition(" at ")[0], vgg.removesuffix(" VGG")


def load_results(names: Sequence[str], group: str = "") -> dict[str, Result]:
    """Load results of metrics/ and evaluations/ by name.

    Args:
        names: The results to load.
        group: A subfolder of both folders, such as "baseline". The folders themselves by default.

    Returns:
        The results by name. The data set with the most results comes first. Within a data set, the
        results are sorted by loss, MSE first, and then by name.

    Raises:
        UserError: A file is missing or damaged.
    """
    results = {name: _load_result((Path(group) / name).as_posix()) for name in names}
    sets = [result.evaluation["data"] for result in results.values()]

    def order(item: tuple[str, Result]) -> tuple[int, str, bool, str, str]:
        name, result = item
        data, loss = result.setting
        return -sets.count(data), data, loss != "mse", loss, name

    return dict(sorted(results.items(), key=order))


def _load_result(name: str) -> Result:
    evaluation_path, metrics_path = files.evaluation_path(name), files.metrics_path(name)
    evaluation, metrics = files.read_json(evaluation_path), files.read_json(metrics_path)
    if not isinstance(evaluation, dict) or "data" not in evaluation:
        raise UserError(
            f"{evaluation_path} is damaged (no data set): delete it and run `dvc repro`"
        )
    if not isinstance(metrics, dict):
        raise UserError(f"{metrics_path} is damaged (no metrics): delete it and run `dvc repro`")
    values = {**dict(flatten(evaluation)), **dict(flatten(metrics))}
    missing = float("nan")  # JSON has no NaN, so the file has null
    return Result(
        evaluation,
        {
            metric.key: missing if values[metric.key] is None else values[metric.key]
            for metric in METRICS
            if metric.key in values
        },
    )


def flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their dotted keys."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def load_history(name: str) -> pd.DataFrame:
    """Load a training history with one row per epoch.

    Args:
        name: A colorizer, or a run of the pretext task such as "pretext/resnet-finetune-100".

    Raises:
        UserError: The file is missing or damaged.
    """
    path = files.curves_path(name)
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise missing_output(path) from None
    except ValueError as error:  # pandas' own errors are ValueErrors
        reason = one_line(error)
        raise UserError(f"{path} is damaged ({reason}): delete it and run `dvc repro`") from error


def stack_curves(histories: Mapping[str, pd.DataFrame], losses: Mapping[str, str]) -> pd.DataFrame:
    """Return training histories in long format: one row per training, part, metric and epoch.

    Args:
        histories: The history of each training run by its name.
        losses: The label of the loss of each training run. Losses differ in their units, so each is
            a metric of its own.

    Returns:
        The columns name, metric, part ("training" or "validation"), epoch and value.
    """
    parts = {"train": "training", "val": "validation"}
    frames = [
        pd.DataFrame(
            {
                "name": name,
                "metric": losses[name] if metric == "loss" else CURVE_TITLES[metric],
                "part": title,
                "epoch": history["epoch"],
                "value": history[f"{part}_{metric}"],
            }
        )
        for name, history in histories.items()
        for metric in ("loss", *CURVE_TITLES)
        for part, title in parts.items()
        if f"{part}_{metric}" in history
    ]
    return pd.concat(frames, ignore_index=True)
