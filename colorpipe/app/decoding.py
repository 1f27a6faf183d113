"""Decoding of colorizers that classify over the color bins, from faithful to vivid colors."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from colorpipe import weights
from colorpipe.app import model_zoo
from colorpipe.evaluation.vividness import Decoding, interpolate
from colorpipe.models.colorizer import Colorizer
from colorpipe.runtime.errors import UserError, printable_path


def set_vividness(
    model: Colorizer, vividness: float | None, path: Path, metadata: dict[str, Any]
) -> None:
    """Set the alpha and the temperature with which a colorizer decodes its logits.

    Args:
        model: The colorizer, changed in place.
        vividness: From 0, which is faithful, to 1, which is vivid. None selects the decoding with
            which the colorizer was evaluated.
        path: Its weight file.
        metadata: The metadata of the weight file.

    Raises:
        UserError: A vividness is given, but the colorizer does not classify over the color bins, or
            was not evaluated with decodings from faithful to vivid.
    """
    if vividness is None:
        model.alpha, model.temperature = load_evaluated_decoding(path, metadata)
        return
    if model.head != "bins":
        raise UserError(
            f"--vividness: {_name(path)} does not classify over the color bins: leave the option "
            "out, or use a --model whose loss is color_classification in `colorpipe models`"
        )
    points = load_vividness_path(path, metadata)
    if not points:
        remedy = "use a colorizer in models/ that `dvc repro` has evaluated"
        if path.name == "best.safetensors" and path.absolute().parts[-3:-2] == ("models",):
            remedy = f"run `dvc repro evaluate@{_name(path)}`"
        raise UserError(
            f"--vividness: {_name(path)} was not evaluated with decodings from faithful to vivid: "
            f"{remedy}, or leave the option out"
        )
    model.alpha, model.temperature = interpolate(points, vividness)


def load_evaluated_decoding(path: Path, metadata: dict[str, Any]) -> tuple[float, float]:
    """Return the alpha and the temperature with which a colorizer was evaluated, or the defaults.

    Both are in evaluations/<colorizer>.json, or in the metadata of the bundled weight file.
    """
    results = _load_results(path, metadata)
    alpha = results.get("alpha", Colorizer.alpha)
    return alpha, results.get("temperature", Colorizer.temperature)


def load_vividness_path(path: Path, metadata: dict[str, Any]) -> list[Decoding]:
    """Return a colorizer's path from faithful to vivid.

    It is in evaluations/<colorizer>.json, or in the metadata of the bundled weight file. If it is
    missing or not valid, the list is empty.
    """
    points = _load_results(path, metadata).get("vividness")
    try:
        return TypeAdapter(list[Decoding]).validate_python(points)
    except ValidationError:
        return []


def find_vividness(decodings: Sequence[Decoding], decoding: tuple[float, float]) -> float:
    """Return the vividness of the point on a path that is nearest to a decoding.

    Args:
        decodings: The path, of two decodings or more, from faithful to vivid.
        decoding: An alpha and a temperature.
    """
    distances = [math.dist((point.alpha, point.temperature), decoding) for point in decodings]
    return distances.index(min(distances)) / (len(decodings) - 1)


def _load_results(path: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    return metadata | (model_zoo.load_evaluation(path, metadata) or {})


def _name(path: Path) -> str:
    """Return the name of a weight file in a message."""
    if path == weights.BUNDLED_PATH:
        return weights.BUNDLED
    name = path.absolute().parent.name if path.name == "best.safetensors" else path.stem
    return printable_path(Path(name))
