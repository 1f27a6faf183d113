"""The trained and the bundled colorizers: their weight files and the table of their metrics.

zoo/ holds the bundled weight files and their model card.
"""

import sys
from pathlib import Path
from typing import Any

from colorpipe import files, weights
from colorpipe.config import REFERENCE_ENCODERS
from colorpipe.runtime.errors import UserError, one_line

ZOO = Path(__file__).parent / "zoo"
BUNDLED = {
    "vivid": ZOO / "unet_rebalanced-cifar10.safetensors",
    "faithful": ZOO / "unet-cifar10.safetensors",
}
ABOUT = ("name", "model", "trained on", "pixels", "loss", "seed", "epoch")
METRICS = ("test loss", "SSIM", "PSNR", "gray baseline")


def find_weights(folder: Path) -> dict[str, Path]:
    """Return the weight files of all colorizers by name.

    The colorizers trained in `folder` come first, then `vivid` and `faithful`. These two names
    always mean the bundled colorizers.
    """
    trained = {path.parent.name: path for path in sorted(folder.glob("*/best.safetensors"))}
    colorizers = {name: path for name, path in trained.items() if name not in REFERENCE_ENCODERS}
    return colorizers | BUNDLED


def choose_weights(model: str) -> Path:
    """Return the weight file that --model selects.

    Args:
        model: `vivid`, `faithful`, a file, a folder with best.safetensors, the name of a colorizer
            in ./models, or the name of a bundled file without its suffix.

    Raises:
        UserError: There is no such weight file.
    """
    if model in BUNDLED:
        return BUNDLED[model]
    bundled_files = {path.stem: path for path in BUNDLED.values()}
    named = (bundled_files | find_weights(files.MODELS)).get(model)
    for path in (Path(model), Path(model) / "best.safetensors", named):
        if path and path.is_file():
            return path
    live = files.LIVE / "metrics.json"
    if live.is_file() and files.read_json(live).get("training") == model:
        raise UserError(
            f"--model {model}: its training is still running: wait until it ends, or use another "
            "name of `colorpipe models`"
        )
    raise UserError(
        f"--model {model}: there are no such weights: use vivid, faithful, a name of "
        "`colorpipe models`, a folder or a file"
    )


def format_table(folder: Path) -> str:
    """Return a table of the colorizers in `folder` and of the bundled ones.

    A damaged weight file is left out and named on stderr.

    Raises:
        UserError: A weight file has incomplete metadata, or a metrics file is damaged.
    """
    rows: list[tuple[str, ...]] = [(*ABOUT, *METRICS)]
    for name, path in find_weights(folder).items():
        try:
            metadata = weights.load_metadata(path)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        rows.append((name, *_describe(path, metadata), *_format_metrics(name, metadata)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _describe(path: Path, metadata: dict[str, Any]) -> tuple[str, ...]:
    try:
        pixels, loss = "x".join(map(str, metadata["size"])), metadata["loss"]["name"]
        seed, epoch = metadata["train"]["seed"], metadata["epoch"]["epoch"]
        return metadata["model"], metadata["data"], pixels, loss, str(seed), str(epoch)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: its metadata lacks {error}: train it again with `dvc repro`"
        ) from None


def _format_metrics(name: str, metadata: dict[str, Any]) -> tuple[str, ...]:
    try:
        metrics = _read_metrics(name, metadata)
        if metrics is None:
            return ("",) * len(METRICS)
        loss, ssim, psnr, baseline_loss = metrics
        return f"{loss:.4g}", f"{ssim:.3f}", f"{psnr:.2f}", f"{baseline_loss:.4g}"
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{files.metrics_path(name)} or {files.evaluation_path(name)} is damaged "
            f"({one_line(error)}): run `dvc repro --force evaluate@{name}`"
        ) from None


def _read_metrics(name: str, metadata: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Return the test loss, SSIM and PSNR of these weights, and the gray baseline's test loss.

    Return None if the weights with this metadata have not been tested.
    """
    if "test" in metadata:  # a bundled weight file, whose gray baseline is called "no_color"
        test, baseline_loss = metadata["test"], metadata["no_color"]["loss"]
    else:
        paths = (files.metrics_path(name), files.evaluation_path(name))
        if not all(path.is_file() for path in paths):
            return None
        tested, evaluation = (files.read_json(path) for path in paths)
        run = (
            metadata["data"],
            metadata["train"]["seed"],
            metadata["epoch"]["epoch"],
            metadata["epoch"].get("val_loss"),
        )
        if run != tuple(evaluation[key] for key in ("data", "seed", "best_epoch", "val_loss")):
            return None  # other weights were tested
        test, baseline_loss = tested["test"], evaluation["baseline_loss"]
    return test["loss"], test["ssim"], test["psnr"], baseline_loss
