"""Several processes for one stage, started on this machine or by a launcher such as torchrun."""

import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from colorpipe.runtime.errors import UserError

# Environment variable with a launcher, to which `-m stages.<name> ...` is appended.
LAUNCHER = "COLORPIPE_LAUNCHER"


def share_out(work: Callable[[], None], most: int | str, shards: int) -> None:
    """Do the work of this stage in one process, or in several that share it.

    If a launcher has started this process and set RANK, the process does its share. Otherwise the
    launcher in COLORPIPE_LAUNCHER, such as "torchrun --nnodes 2 ...", starts the processes. If
    there is no launcher, this function starts them.

    Args:
        work: What each process does.
        most: Largest number of processes, or "auto" for one per GPU, and one without GPUs.
        shards: Number of parts of a batch. The number of processes divides it.

    Raises:
        UserError: A process was killed. A process prints its other errors itself.
    """
    if "RANK" in os.environ:
        work()
        return
    if launcher := shlex.split(os.environ.get(LAUNCHER, "")):
        if code := subprocess.run([*launcher, *_this_command()]).returncode:
            sys.exit(code)  # the launcher has printed why
        return
    available = max(1, torch.cuda.device_count()) if most == "auto" else int(most)
    count = max(n for n in range(1, available + 1) if shards % n == 0)
    if count == 1:
        work()
    else:
        _start(count)


def _this_command() -> list[str]:
    """Return the arguments of Python that start this stage."""
    return ["-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]  # type: ignore[union-attr]


def _start(count: int) -> None:
    """Run this stage in `count` processes. If one of them fails, end all of them."""
    elastic_log = logging.getLogger("torch.distributed.elastic")
    elastic_log.setLevel(logging.CRITICAL)  # this module prints its own messages
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,  # seconds
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)(*_this_command())
        except ChildFailedError as error:
            failures = sorted(error.failures.items(), reverse=True)
            codes = {failure.exitcode: rank for rank, failure in failures}
            if max(codes) > 0:
                sys.exit(1)  # the process has printed why
            # When one process fails, the others get SIGTERM.
            others = (code for code in codes if code != -signal.SIGTERM)
            code = next(others, -signal.SIGTERM)
            rank = codes[code]
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
