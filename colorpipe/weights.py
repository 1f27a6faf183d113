"""Weight files that know what they are: safetensors (no code in them), with metadata as JSON in the header.

Written atomically; the same content gives the same bytes.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from colorpipe import files
from colorpipe.runtime.errors import UserError, one_line

DTYPES = (
    "float32",
    "float16",
    "int64",
)  # weights, those that are stored in half, and BatchNorm's count of batches
KEY = "colorpipe"  # a single key: safetensors writes several in no fixed order


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
    """Write tensors (or none: a file that is only metadata) and metadata. Raises UserError where that fails."""
    header = {KEY: json.dumps(metadata, sort_keys=True)}
    with files.atomic_write(path) as temporary:
        try:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, header
            )
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))  # the system's error, in Rust's words
            raise (
                OSError(int(code[1]), os.strerror(int(code[1])))
                if code
                else OSError(one_line(error))
            ) from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and metadata of a file that `save` wrote; float16 as float32.

    Raises UserError for any other file and for NaN.
    """
    with _opened(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = _metadata(file)
    for name, tensor in tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise UserError(
                f"{path}: {one_line(name)} has dtype {dtype}, expected float32: {remedy(path)}"
            )
        if not tensor.isfinite().all():
            raise UserError(
                f"{path}: {one_line(name)} has non-finite values, expected trained weights: {remedy(path)}"
            )
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }, metadata


def load_metadata(path: Path) -> dict[str, Any]:
    """The metadata alone, without reading a tensor. Raises UserError as `load` does."""
    with _opened(path, "np") as file:
        return _metadata(file)


def _metadata(file: safe_open) -> dict[str, Any]:
    metadata = json.loads((file.metadata() or {})[KEY])
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a JSON object")
    return metadata


def remedy(path: Path) -> str:
    """What to do about a bad weight file: the pipeline can recreate its own."""
    own = path.parts[:1] in ((str(files.MODELS),), (str(files.DATA),))
    return "remove it and run `dvc repro`" if own else "use another file"


@contextlib.contextmanager
def _opened(path: Path, framework: str) -> Iterator[safe_open]:
    """The opened file. Raises UserError where it is missing, unreadable or damaged."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run `dvc repro` to create it")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} cannot be read: permission denied: check the file's permissions")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not a complete colorpipe weight file, safetensors ({one_line(error)}): {remedy(path)}"
        ) from error
