"""Atomic writes (a file is complete or absent), and reading what a stage wrote."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from colorpipe.runtime.errors import UserError, printable_path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, renamed to `path` on success and removed on failure.

    Raises UserError, naming `path`, where it cannot be written: a full disk, no permission, a read-only file system.
    """
    temporary = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")  # of this thread alone, and never too long
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, path, *path.parents):
            raise  # another file, read while writing this one
        raise _not_writable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming_write_errors(path: Path) -> Iterator[None]:
    """Around a library that writes to `path`: raises UserError, naming `path`, where that fails."""
    try:
        yield
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{printable_path(path)} cannot be written: {error.strerror or error}; fix that and run the command again"
    )


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object, indent: int | None = 2) -> None:
    """Write `content` as JSON, atomically."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write a training history as CSV, one row per epoch, atomically."""
    header = history[0] if history else {"epoch": 0}
    lines = [",".join(header), *(",".join(map(str, row.values())) for row in history)]
    write_text(path, "\n".join(lines) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file that a stage wrote. Raises UserError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to create it") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): remove it and run `dvc repro`") from None
