"""The trained colorizers that are here: what each is, what it was trained on, and its metrics."""

from pathlib import Path
from typing import Any

from colorpipe import io, paths, weights
from colorpipe.runtime.errors import UserError, one_line

COLUMNS = ("name", "model", "trained on", "pixels", "loss", "seed", "epoch", "test loss", "SSIM", "PSNR", "no color")
SETTING = ("data", "loss", "lpips_weights")  # what a colorizer shares with its baseline


def names(folder: Path) -> list[str]:
    """The colorizers with weights in a folder of folders. Raises UserError where there are none."""
    found = sorted(path.parent.name for path in folder.glob("*/best.safetensors"))
    if not found:
        raise UserError(f"{folder} holds no trained colorizers: `dvc repro` trains them, `dvc pull` fetches them")
    return found


def table(folder: Path) -> str:
    """One row per colorizer, with its metrics where those in metrics/ are of these very weights."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for name in names(folder):
        path = folder / name / "best.safetensors"
        metadata = weights.load_metadata(path)
        try:
            size, loss = "x".join(map(str, metadata["size"])), metadata["loss"]["name"]
            run = (metadata["train"]["seed"], metadata["epoch"]["epoch"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} lacks {error}: train it again with `dvc repro`") from None
        rows.append(
            (
                name,
                *map(str, (metadata["model"], metadata["data"], size, loss, *run)),
                *(_metrics(name) if _is_evaluated(name, metadata) else [""] * 4),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _is_evaluated(name: str, metadata: dict[str, Any]) -> bool:
    """Whether the pipeline's evaluation of `name` is of the weights with this metadata."""
    if not (paths.metrics(name).is_file() and paths.evaluation(name).is_file()):
        return False
    evaluation = io.read_json(paths.evaluation(name))
    identity = (metadata["data"], metadata["train"]["seed"], metadata["epoch"]["epoch"], metadata["epoch"].get("val_loss"))
    return identity == tuple(evaluation.get(key) for key in ("data", "seed", "best_epoch", "val_loss"))


def _metrics(name: str) -> list[str]:
    """The test loss, SSIM and PSNR of a colorizer, and the loss of no color."""
    path = paths.metrics(name)
    try:
        test = io.read_json(path)["test"]
        return [f"{test['loss']:.4g}", f"{test['ssim']:.3f}", f"{test['psnr']:.2f}", _baseline_loss(name)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({one_line(error)}): remove it and run `dvc repro`") from None


def _baseline_loss(name: str) -> str:
    setting = _setting(io.read_json(paths.evaluation(name)))
    for path in sorted((paths.EVALUATIONS / "baseline").glob("*.json")):
        if _setting(io.read_json(path)) == setting:
            return f"{io.read_json(paths.metrics(f'baseline/{path.stem}'))['test']['loss']:.4g}"
    return ""


def _setting(evaluation: dict[str, Any]) -> list[Any]:
    return [evaluation.get(key) for key in SETTING]
