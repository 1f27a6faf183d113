"""Files of weights that know what they are: safetensors (no code in them), with a description as JSON in the header.

Written whole or not at all, and the same content gives the same bytes.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from colorpipe import files, paths
from colorpipe.errors import UserError, one_line

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("float32", "int64", "uint8")  # of weights, of BatchNorm's count of batches, of a random generator's state
KEY = "colorpipe"  # one key: safetensors writes several in no fixed order


def save(path: Path, tensors: Mapping[str, "Tensor"], description: Mapping[str, object]) -> None:
    """Write the tensors (none: a file that only describes) and the description."""
    metadata = {KEY: json.dumps(description, sort_keys=True)}
    with files.replaced(path) as temporary:
        if not tensors:  # without torch: the download stage starts in a moment
            from safetensors.numpy import save as serialize

            temporary.write_bytes(serialize({}, metadata))
            return
        from safetensors.torch import save_file

        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))  # the system's, in words of Rust
            raise OSError(int(code[1]), os.strerror(int(code[1]))) if code else OSError(one_line(error)) from error


def load(path: Path) -> tuple[dict[str, "Tensor"], dict]:
    """The tensors and the description of a file that `save` wrote. Raises UserError for others and for NaN."""
    with _opened(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = _description(file)
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in KINDS:
            raise UserError(f"{path}: {one_line(name)} holds {kind}, expected float32: {mend(path)}")
        if not tensor.isfinite().all():
            raise UserError(
                f"{path}: {one_line(name)} holds values that are not finite; expected trained weights: {mend(path)}"
            )
    return tensors, description


def describe(path: Path) -> dict:
    """The description alone, without torch. Raises UserError as `load` does."""
    with _opened(path, "np") as file:
        return _description(file)


def _description(file: safe_open) -> dict:
    description = json.loads((file.metadata() or {})[KEY])
    if not isinstance(description, dict):
        raise ValueError("its description is none")
    return description


def mend(path: Path) -> str:
    """What to do about a file of weights: the pipeline makes its own anew."""
    own = path.parts[:1] in ((str(paths.MODELS),), (str(paths.DATA),))
    return "remove it and run `dvc repro`" if own else "give another file"


@contextlib.contextmanager
def _opened(path: Path, framework: str) -> Iterator[safe_open]:
    """The file, open; what is wrong with it becomes a UserError."""
    if not path.is_file():
        raise UserError(f"{path} is missing: `dvc repro` makes it")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read: permission denied; give yourself leave")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no whole file of weights of colorpipe, safetensors ({one_line(error)}): {mend(path)}"
        ) from error
