"""The process of a stage or a command: its exit status and its last message."""

import argparse
import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from colorpipe.runtime.errors import UserError, is_out_of_memory, one_line, printable_path

INTERRUPTED = 130  # exit status after Ctrl-C, as in shells
LAUNCHER_WAIT = 5.0  # seconds in which the launcher ends this process if another has failed first


def has_launcher() -> bool:
    """Return whether a launcher such as torchrun has started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def slug(text: str) -> str:
    """Return an argument that becomes part of a path, if it is a plain name.

    Raises:
        argparse.ArgumentTypeError: `text` contains other characters.
    """
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name: use letters, digits, '_', '-' and '.'"
        )
    return text


def run_main(main: Callable[[], None]) -> None:
    """Call `main`, and end the process with one line if it fails for a reason the user can fix.

    Such reasons are a UserError, an OSError, a missing package, exhausted memory and Ctrl-C.
    """
    _terminate_with_parent()
    rank = os.environ["RANK"] if has_launcher() else None
    prefix = f"error: process {rank} of {os.environ['WORLD_SIZE']}" if rank else "error"
    try:
        main()
    except UserError as error:
        if rank not in (None, "0"):  # process 0 may have the same error
            time.sleep(LAUNCHER_WAIT)
        sys.exit(f"{prefix}: {error}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("", "colorpipe", "stages"):
            raise
        sys.exit(
            f"{prefix}: {sys.executable} has no package {error.name}: delete .venv if it exists, "
            "run `make setup` and `source .venv/bin/activate`, then run the command again"
        )
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        reason = error.strerror or one_line(error)
        if isinstance(error.filename, str | bytes):
            reason = f"{printable_path(Path(os.fsdecode(error.filename)))}: {reason}"
        sys.exit(f"{prefix}: {reason}; fix that and run the command again")
    except KeyboardInterrupt as interrupt:
        if rank is None:  # otherwise the launcher prints it
            print(f"interrupted: {str(interrupt) or 'run the command again'}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not is_out_of_memory(error):
            if rank is not None:  # the connection to a process that has ended may be lost
                time.sleep(LAUNCHER_WAIT)
            raise
        sys.exit(
            f"{prefix}: out of memory ({one_line(error)}): use smaller data or images, or a "
            "machine with more memory"
        )


def _terminate_with_parent() -> None:
    """Ask Linux to end a stage when DVC or its launcher is killed.

    Otherwise the stage would go on, and the next run would write the same files.
    """
    started_by_parent = "DVC_STAGE" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
    if started_by_parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
