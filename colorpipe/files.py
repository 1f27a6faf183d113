"""Writing files whole or not at all, and reading back what a stage wrote."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from colorpipe.errors import UserError, shown


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to: it takes the place of `path` when all went well, and is gone if not.

    Raises UserError, naming `path`, where it cannot be written: no space, no permission, a read-only disk.
    """
    temporary = path.with_name(f".{os.getpid()}.part")  # two processes never write to one, and no name is too long
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, path, *path.parents):
            raise  # of another file, read meanwhile
        raise _not_written(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Raises UserError, naming `path`, where what a library writes there cannot be written."""
    try:
        yield
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(f"{shown(path)} cannot be written: {error.strerror or error}; mend that and run the same again")


def write_text(path: Path, text: str) -> None:
    """Write a text, in UTF-8, whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object, indent: int | None = 2) -> None:
    """Write `content` as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def read_json(path: Path) -> object:
    """The content of a JSON file that a stage wrote. Raises UserError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: `dvc repro` makes it") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): remove it and run `dvc repro`") from None
