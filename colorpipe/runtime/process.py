"""The process of a stage or a command: how it ends, and what it tells the user."""

import argparse
import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from colorpipe.runtime.errors import (
    PeerLostError,
    UserError,
    is_out_of_memory,
    one_line,
    printable_path,
)

INTERRUPTED = 130  # exit status after Ctrl-C, as in shells
LAUNCHER_ENDS = 5.0  # seconds in which a launcher ends the processes whose peer has failed


def name(text: str) -> str:
    """An argument that is part of a path: a plain name."""
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name: use letters, digits, '_', '-' and '.'"
        )
    return text


def run_main(main: Callable[[], None]) -> None:
    """Call `main`. A UserError, a system error, exhausted memory and Ctrl-C end the process with one line."""
    _terminate_with_parent()
    error_in = "error" + (
        f": process {rank} of {os.environ['WORLD_SIZE']}"
        if (rank := os.environ.get("RANK"))
        else ""
    )
    try:
        with _no_interrupt_lost():
            main()
    except UserError as error:
        sys.exit(f"{error_in}: {error}")
    except PeerLostError as error:
        time.sleep(LAUNCHER_ENDS)  # whoever failed says why; without a launcher this process has to
        sys.exit(
            f"{error_in}: lost the others ({error}): see what they printed, and run the command again to resume"
        )
    except BrokenPipeError:  # whoever reads the output has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        name = (
            f": {printable_path(Path(os.fsdecode(error.filename)))}"
            if isinstance(error.filename, str | bytes)
            else ""
        )
        sys.exit(
            f"{error_in}: {error.strerror or one_line(error)}{name}; fix that and run the command again"
        )
    except KeyboardInterrupt as interrupt:
        if rank is None:  # else it is for the launcher to say
            print(f"interrupted: {str(interrupt) or 'run the command again'}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(
            f"{error_in}: out of memory ({one_line(error)}): use smaller data or images, or a machine with more memory"
        )


@contextlib.contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Interrupt the main thread again where Ctrl-C came in a destructor: Python only reports what is raised there."""
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again = (threading.get_ident(), signal.SIGINT)
            threading.Timer(
                0.1, signal.pthread_kill, again
            ).start()  # seconds: once the destructor has returned
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _terminate_with_parent() -> None:
    """Ask the system to terminate a stage when its DVC or launcher is killed: the next run would write the same files."""
    if (
        "DVC_STAGE" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
    ) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
