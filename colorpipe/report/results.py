"""The results that the other stages wrote: metrics, what they belong to, and training histories."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from colorpipe import files
from colorpipe.runtime.errors import UserError, one_line


@dataclass(frozen=True)
class Result:
    """The test result of a colorizer, of a gray baseline, or of a classifier of the pretext task.

    Attributes:
        run: The content of evaluations/<name>.json. It says what the result belongs to (data, n,
            seed, loss), and has the metrics that DVC does not track.
        metrics: The content of metrics/<name>.json by dotted keys, such as "test.loss".
    """

    run: Mapping[str, Any]
    metrics: Mapping[str, float]

    @property
    def setting(self) -> tuple[str, str]:
        """The data set and the label of the loss. Test losses compare only within a setting."""
        return self.run["data"], loss_label(self.run)


def loss_label(run: Mapping[str, Any]) -> str:
    """Return the name of a loss and what else decides its value.

    LPIPS depends on the weights of its VGG, and a loss over color bins on the resolution of the
    logits. A pretext classifier has no choice of losses, so its label is empty.

    Args:
        run: What a result belongs to, as in evaluations/<name>.json.
    """
    if "lpips_weights" in run:
        return f"lpips, {run['lpips_weights']} VGG"
    loss = str(run.get("loss", ""))
    return f"{loss} at 1/{run['scale']}" if "scale" in run else loss


def load_results(group: str = "", names: Sequence[str] | None = None) -> dict[str, Result]:
    """Load results of metrics/ and evaluations/ by name.

    Args:
        group: A subfolder of both folders, such as "baseline". The folders themselves by default.
        names: The results to load. All results of the folder by default.

    Returns:
        The results by name. The data set with the most results comes first. Within a data set, the
        results are sorted by loss, MSE first, and then by name.

    Raises:
        UserError: There are no results, or a file is missing or damaged.
    """
    folder = files.METRICS / group
    if names is None:
        names = [path.stem for path in sorted(folder.glob("*.json"))]
    if not names:
        raise UserError(f"{folder} holds no metrics: run `dvc repro` to create them")
    results = {name: _load_result((Path(group) / name).as_posix()) for name in names}
    sets = [result.run["data"] for result in results.values()]

    def order(item: tuple[str, Result]) -> tuple[int, str, bool, str, str]:
        name, result = item
        data, loss = result.setting
        return -sets.count(data), data, loss != "mse", loss, name

    return dict(sorted(results.items(), key=order))


def _load_result(name: str) -> Result:
    run_path, metrics_path = files.evaluation_path(name), files.metrics_path(name)
    run, metrics = files.read_json(run_path), files.read_json(metrics_path)
    if not isinstance(run, dict) or "data" not in run:
        raise UserError(f"{run_path} is damaged (no data set): delete it and run `dvc repro`")
    if not isinstance(metrics, dict):
        raise UserError(f"{metrics_path} is damaged (no metrics): delete it and run `dvc repro`")
    return Result(run, dict(_flatten(metrics)))


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the values of nested mappings with their dotted keys."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
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
        raise UserError(f"{path} is missing: run `dvc repro` to create it") from None
    except ValueError as error:  # pandas' own errors are ValueErrors
        reason = one_line(error)
        raise UserError(f"{path} is damaged ({reason}): delete it and run `dvc repro`") from error
