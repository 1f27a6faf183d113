"""The process of a stage or a command: how it ends, and what it tells the user."""

import argparse
import ctypes
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from colorpipe.runtime.errors import UserError, is_out_of_memory, one_line, printable_path

INTERRUPTED = 130  # exit status after Ctrl-C, as in shells


def name(text: str) -> str:
    """An argument that is part of a path: a plain name."""
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: use letters, digits, '_', '-' and '.'")
    return text


def run_main(main: Callable[[], None]) -> None:
    """Call `main`. A UserError, a system error, exhausted memory and Ctrl-C end the process with one line."""
    _terminate_with_dvc()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        name = f": {printable_path(Path(os.fsdecode(error.filename)))}" if isinstance(error.filename, str | bytes) else ""
        sys.exit(f"error: {error.strerror or one_line(error)}{name}; fix that and run the command again")
    except KeyboardInterrupt as interrupt:
        print(f"interrupted: {str(interrupt) or 'run the command again'}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(f"error: out of memory ({one_line(error)}): use smaller data or images, or a machine with more memory")


def _terminate_with_dvc() -> None:
    """Ask the system to terminate a stage when its DVC is killed: the next run would write the same files."""
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
