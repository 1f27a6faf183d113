"""Files of weights that know what they are: safetensors (no code in them), with a description as JSON in the header.

Written whole or not at all, and the same content gives the same bytes.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from colorpipe.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

KEY = "colorpipe"  # one key: safetensors writes several in no fixed order


def save(path: Path, tensors: Mapping[str, "Tensor"], description: Mapping[str, object]) -> None:
    """Write the tensors (none: a file that only describes) and the description, by way of a temporary file."""
    metadata = {KEY: json.dumps(description, sort_keys=True)}
    if tensors:
        from safetensors.torch import save as serialize

        content = serialize({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    else:  # without torch: the download stage starts in a moment
        from safetensors.numpy import save as serialize_nothing

        content = serialize_nothing({}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, "Tensor"], dict]:
    """The tensors and the description of a file that `save` wrote. Raises UserError for any other file."""
    with _opened(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _description(file)  # noqa: SIM118


def describe(path: Path) -> dict:
    """The description alone, without torch. Raises UserError as `load` does."""
    with _opened(path, "np") as file:
        return _description(file)


def _description(file: safe_open) -> dict:
    return json.loads((file.metadata() or {})[KEY])


@contextlib.contextmanager
def _opened(path: Path, framework: str) -> Iterator[safe_open]:
    """The file, open; what is wrong with it becomes a UserError."""
    if not path.is_file():
        raise UserError(f"{path} is missing: `dvc repro` makes it")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} is no file of weights of colorpipe ({error}): remove it and run `dvc repro`") from error
