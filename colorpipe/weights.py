"""Weight files that describe themselves: safetensors with metadata as JSON in the header.

Safetensors files contain no code. They are written atomically, and the same content gives the same
bytes.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from colorpipe import files
from colorpipe.runtime.errors import (
    UserError,
    missing_output,
    one_line,
    permission_error,
    printable_path,
)

DTYPES = ("float32", "float16", "int64")  # int64 is BatchNorm's count of batches
BUNDLED = "bundled"  # name of the colorizer that is part of the package
BUNDLED_PATH = Path(__file__).parent / "app" / "bundled" / "unet_timm.safetensors"
KEY = "colorpipe"  # a single key, because safetensors writes several keys in no fixed order


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
    """Write tensors and metadata. A file without tensors holds only metadata.

    Raises:
        UserError: The file cannot be written.
    """
    header = {KEY: json.dumps(metadata, sort_keys=True)}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with files.atomic_write(path) as temporary:
        temporary.write_bytes(serialize(contiguous, header))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the metadata of a file that `save` wrote. float16 becomes float32.

    Raises:
        UserError: The file is missing, damaged, or of another kind, or a tensor is not finite.
    """
    with _open_weights(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = _read_metadata(file)
    for name, tensor in tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise UserError(
                f"{printable_path(path)}: {one_line(name)} has dtype {dtype}, expected float32: "
                f"{remedy(path)}"
            )
        if not tensor.isfinite().all():
            raise UserError(
                f"{printable_path(path)}: {one_line(name)} has non-finite values, expected trained "
                f"weights: {remedy(path)}"
            )
        if tensor.is_floating_point():
            tensors[name] = tensor.float()
    return tensors, metadata


def load_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata without reading a tensor. Raise UserError as `load` does."""
    with _open_weights(path, "np") as file:
        return _read_metadata(file)


def list_weights(folder: Path) -> dict[str, Path]:
    """Return the weight files of the colorizers and encoders in a folder, by name."""
    return {path.parent.name: path for path in sorted(folder.glob("*/best.safetensors"))}


def find_weights(choice: str, key: str) -> Path:
    """Return the weight file of a colorizer.

    Args:
        choice: `bundled`, a file, a folder with best.safetensors, or the name of a colorizer in
            ./models.
        key: The option or the parameter that has this value, for the error message.

    Raises:
        UserError: There is no such weight file.
    """
    if choice == BUNDLED:
        return BUNDLED_PATH
    named = list_weights(files.MODELS).get(choice)
    for path in (Path(choice), Path(choice) / "best.safetensors", named):
        if path and path.is_file():
            return path
    if is_training(choice):
        raise UserError(
            f"{key} {choice}: it is being trained, or its training was killed: wait until it ends, "
            "or run `dvc repro` to resume it"
        )
    raise UserError(
        f"{key} {one_line(choice)}: no such colorizer: use bundled, another name that "
        "`colorpipe models` lists, a folder with best.safetensors, or a weight file"
    )


def is_training(name: str) -> bool:
    """Return whether the training of a colorizer is running in this folder, or was killed."""
    live = files.LIVE / "metrics.json"
    return live.is_file() and files.read_json(live).get("training") == name


def remedy(path: Path) -> str:
    """Return what to do about a bad weight file. The pipeline can make its own files again."""
    made_here = path.parts[:1] in ((str(files.MODELS),), (str(files.DATA),))
    return "delete it and run `dvc repro`" if made_here else "use another file"


def _read_metadata(file: safe_open) -> dict[str, Any]:
    metadata = json.loads((file.metadata() or {})[KEY])
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a JSON object")
    return metadata


@contextlib.contextmanager
def _open_weights(path: Path, framework: str) -> Iterator[safe_open]:
    """Open a file, or raise UserError if it is missing, unreadable or damaged."""
    if not path.is_file():
        raise missing_output(path)
    if not os.access(path, os.R_OK):
        raise permission_error(path)
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise UserError(
            f"{printable_path(path)} is not a complete colorpipe weight file in the safetensors "
            f"format ({one_line(error)}): {remedy(path)}"
        ) from error
