"""Python runs this module when it starts. It is on the PYTHONPATH of a project under test.

With $COLORPIPE_TRACE, a stage notes what it uses. With $COLORPIPE_FORKS, the stages and DVC's
commands run in forks (see forks.py).
"""

import os
import sys

if sys.orig_argv[1:2] == ["-m"] and len(sys.orig_argv) > 2:
    if address := os.environ.get("COLORPIPE_FORKS"):
        import forks

        forks.run_in_fork(address)
    elif sys.orig_argv[2].startswith("stages.") and "COLORPIPE_TRACE" in os.environ:
        import atexit

        import stage_notes

        stage_notes.start()
        atexit.register(stage_notes.write)
