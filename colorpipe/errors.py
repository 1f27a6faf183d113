"""What the user did that cannot work: one clear line and a non-zero exit, never a traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend. Its text is one line that names the thing and what to do."""


def run(main: Callable[[], None]) -> None:
    """Call `main`; a UserError, a full or read-only disk and Ctrl-C end the process with one line."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command again to start this stage over")
