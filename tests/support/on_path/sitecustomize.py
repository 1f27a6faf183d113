"""On PYTHONPATH of a project under test, so that every Python runs it as it starts.

A stage takes notes of what it uses. With $COLORPIPE_FORKS it and a command of DVC's run in a fork (see forks.py).
"""

import os
import sys

if sys.orig_argv[1:2] == ["-m"] and len(sys.orig_argv) > 2:
    if address := os.environ.get("COLORPIPE_FORKS"):
        import forks

        forks.run(address)
    elif sys.orig_argv[2].startswith("stages."):
        import atexit

        import stage_notes

        stage_notes.take()
        atexit.register(stage_notes.write)
