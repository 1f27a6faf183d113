"""Errors that the user can fix: one clear line that names the thing and what to do, never a traceback."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

MAX_NAMED = 10  # files that a message names


class UserError(Exception):
    """An error that the user can fix. Its text is one line that names the thing and says what to do."""


class PeerLostError(Exception):
    """Another of the processes that share the work has ended, or does not answer."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's error, CUDA's, or torch's on a CPU, which has no class of its own."""
    kind = type(error).__name__
    return (
        isinstance(error, MemoryError)
        or kind == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def one_line(error: object, length: int = 160) -> str:
    """An error's text, or its type where it has none, as one printable line of at most `length` characters."""
    text = " ".join(str(error)[: 2 * length].split()) or type(error).__name__
    return _printable(text if len(text) <= length else f"{text[: length - 3]}...")


def printable_path(path: Path) -> str:
    """A path as one printable line, whatever bytes it has."""
    return _printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def name_files(names: Sequence[str | Path]) -> str:
    """Files counted by kind and named up to ten: "3 files (2 .cr2, 1 .txt): a.cr2, b.cr2, notes.txt"."""
    kinds = Counter(Path(name).suffix.lower() or "without suffix" for name in names)
    counts = ", ".join(f"{count} {_printable(kind)}" for kind, count in kinds.most_common())
    named = ", ".join(printable_path(Path(name)) for name in names[:MAX_NAMED])
    more = ", ..." if len(names) > MAX_NAMED else ""
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({counts}): {named}{more}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
