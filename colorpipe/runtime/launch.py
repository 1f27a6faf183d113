"""The worker processes of a stage, started on this machine by torch's elastic launcher."""

import logging
import signal
import sys
import tempfile
import uuid

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from colorpipe.runtime.errors import UserError


def run_in_processes(count: int) -> None:
    """Run the command of this process in `count` processes. If one of them fails, end all of them.

    Raises:
        UserError: A process was killed. A process prints its other errors itself.
        KeyboardInterrupt: Ctrl-C was pressed. The message says how to resume.
    """
    logging.disable(logging.CRITICAL)  # torch's launcher; this module prints its own messages
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
        except ChildFailedError as error:
            # The launcher ends the other processes with SIGTERM.
            codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
            first = {rank: code for rank, code in codes.items() if code != -signal.SIGTERM} or codes
            if max(first.values()) > 0:
                sys.exit(1)  # the process has printed why
            rank, code = first.popitem()
            raise UserError(
                f"process {rank} of {count} was killed by {signal.Signals(-code).name} (possibly "
                "out of memory): run `dvc repro` to resume after the last finished epoch"
            ) from None
        except SignalException as stopped:
            if stopped.sigval == signal.SIGINT:
                raise KeyboardInterrupt(
                    "finished epochs are kept in runs/resume; run `dvc repro` to resume"
                ) from None
            sys.exit(128 + stopped.sigval)
