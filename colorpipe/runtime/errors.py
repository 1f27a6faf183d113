"""Errors that the user can fix, and the text of their messages.

A message is one line: the thing, what is wrong, what to do. Errors of the program itself keep their
traceback.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_NAMED = 10  # files that a message lists by name


class UserError(Exception):
    """An error that the user can fix. Its text names the thing and says what to do, in one line."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that Python, torch, CUDA, cuDNN or cuBLAS ran out of memory."""
    kind, text = type(error).__name__, str(error)
    # Only torch's allocator on a GPU raises OutOfMemoryError. Other failures differ by their text.
    reasons = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    no_memory = any(reason in text for reason in reasons)
    return isinstance(error, MemoryError) or kind == "OutOfMemoryError" or no_memory


def one_line(error: object, length: int = 160) -> str:
    """Return an error's text as one printable line of at most `length` characters.

    If the text is empty, return the name of the error's type.
    """
    text = " ".join(str(error)[: 2 * length].split()) or type(error).__name__
    return _printable(text if len(text) <= length else f"{text[: length - 3]}...")


def printable_path(path: Path) -> str:
    """Return a path as one line, with unprintable characters escaped."""
    return _printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def name_files(names: Sequence[str | Path]) -> str:
    """Count files by suffix and list at most ten: "2 files (1 .cr2, 1 .txt): a.cr2, b.txt"."""
    suffixes = Counter(Path(name).suffix.lower() or "without suffix" for name in names)
    counts = ", ".join(f"{count} {_printable(suffix)}" for suffix, count in suffixes.most_common())
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({counts}): {list_names(names)}"


def list_names(names: Sequence[str | Path]) -> str:
    """List at most ten names: "a.cr2, b.txt"."""
    listed = ", ".join(printable_path(Path(name)) for name in names[:MAX_NAMED])
    return f"{listed}, ..." if len(names) > MAX_NAMED else listed


def missing_output(path: Path) -> UserError:
    """Return the error to raise if a file that a stage writes is missing."""
    return UserError(f"{printable_path(path)} is missing: run `dvc repro` to create it")


def permission_error(path: Path) -> UserError:
    """Return the error to raise if there is no permission to read `path`."""
    return UserError(
        f"{printable_path(path)} cannot be read (permission denied): check its permissions"
    )


def write_error(path: Path, error: OSError) -> UserError:
    """Return the error to raise if `path` cannot be written."""
    reason = error.strerror or error
    return UserError(
        f"{printable_path(path)} cannot be written: {reason}; fix that and run the command again"
    )


@contextlib.contextmanager
def convert_write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of a library that writes to `path` into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
