"""On PYTHONPATH of a project under test, so that every Python runs it as it starts.

With $COLORPIPE_TRACE a stage takes notes of what it uses; with $COLORPIPE_FORKS it runs in a fork (see forks.py), as does a
command of DVC's.
"""

import os
import sys

if sys.orig_argv[1:2] == ["-m"] and len(sys.orig_argv) > 2:
    if address := os.environ.get("COLORPIPE_FORKS"):
        import forks

        forks.run(address)
    elif sys.orig_argv[2].startswith("stages.") and "COLORPIPE_TRACE" in os.environ:
        import atexit

        import stage_notes

        stage_notes.take()
        atexit.register(stage_notes.write)
