"""The trained colorizers that are here: what each is, what it was trained on, and its metrics."""

from pathlib import Path

from colorpipe import checkpoints, files, paths
from colorpipe.errors import UserError, one_line

COLUMNS = ("name", "model", "trained on", "pixels", "loss", "seed", "epoch", "test loss", "SSIM", "PSNR", "no colour")


def names(folder: Path) -> list[str]:
    """The colorizers with weights in a folder of folders. Raises UserError where there are none."""
    found = sorted(path.parent.name for path in folder.glob("*/best.safetensors"))
    if not found:
        raise UserError(f"{folder} holds no trained colorizers: `dvc repro` trains them, `dvc pull` fetches them")
    return found


def table(folder: Path) -> str:
    """A row a colorizer. The metrics are those of metrics/, where the weights are those of the pipeline."""
    rows = [COLUMNS]
    for name in names(folder):
        description = checkpoints.describe(folder / name / "best.safetensors")
        try:
            size, loss = "x".join(map(str, description["size"])), description["loss"]["name"]
            what = (description["model"], description["data"], size, loss, description["train"]["seed"])
            what += (description["row"]["epoch"],)
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder / name / 'best.safetensors'} lacks {error}: train it anew with `dvc repro`") from None
        rows.append((name, *map(str, what), *_metrics(folder, name)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _metrics(folder: Path, name: str) -> list[str]:
    path = paths.metrics(name)
    if folder != paths.MODELS or not path.is_file():
        return [""] * 4
    found = files.read_json(path)
    try:
        test = found["test"]
        return [f"{test['loss']:.4g}", f"{test['ssim']:.3f}", f"{test['psnr']:.2f}", f"{found['no_colour']['loss']:.4g}"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({one_line(error)}): remove it and run `dvc repro`") from None
