"""What the user did that cannot work: one clear line and a non-zero exit, never a traceback."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

INTERRUPTED = 130  # exit status of what Ctrl-C ended, as shells have it


class UserError(Exception):
    """Something the user can mend. Its text is one line that names the thing and what to do."""


def run(main: Callable[[], None]) -> None:
    """Call `main`; a UserError, a full or read-only disk, no memory and Ctrl-C end the process with one line."""
    _end_with_dvc()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        named = f": {shown(Path(os.fsdecode(error.filename)))}" if isinstance(error.filename, str | bytes) else ""
        sys.exit(f"error: {error.strerror or one_line(error)}{named}; mend that and run the same again")
    except KeyboardInterrupt as interrupt:
        print(f"interrupted: {interrupt or 'run the same command again'}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not out_of_memory(error):
            raise
        sys.exit(f"error: out of memory ({one_line(error)}): use smaller data or images, or a machine with more")


def _end_with_dvc() -> None:
    """Have the system end a stage when the DVC that runs it is killed: the next one would write the same files."""
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's error, CUDA's, or torch's on a CPU, which has no class of its own."""
    kind = type(error).__name__
    return isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "can't allocate memory" in str(error)


def one_line(error: object, length: int = 160) -> str:
    """An error's text, or its kind, in one line of at most `length` characters, each of which can be shown."""
    text = " ".join(str(error)[: 2 * length].split()) or type(error).__name__
    return _printable(text if len(text) <= length else f"{text[: length - 3]}...")


def shown(path: Path) -> str:
    """A path in one line of text, whatever bytes it has."""
    return _printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
