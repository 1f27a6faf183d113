"""Several processes for one stage: started here, on this machine, or by a launcher (torchrun, a cluster's)."""

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

LAUNCHER = "COLORPIPE_LAUNCHER"  # environment variable: what `-m stages.<name> ...` is appended to


def share_out(work: Callable[[], None], most: int | str, shards: int | None = None) -> None:
    """Do the work of this command, `python -m stages.<name> ...`, in one process or in several that share it.

    A process that a launcher has started, which sets RANK, does its share. Otherwise the launcher in COLORPIPE_LAUNCHER,
    such as "torchrun --nnodes 2 ...", starts them; or, without one, this function does.

    Args:
        work: what each process does.
        most: how many at most, or "auto": one a GPU, and one without GPUs.
        shards: into how many parts the work can be divided; None: any number.

    Raises:
        UserError: a process was killed. Other errors a process prints itself.
    """
    if "RANK" in os.environ:
        work()
        return
    if launcher := shlex.split(os.environ.get(LAUNCHER, "")):
        if code := subprocess.run([*launcher, *_this_command()]).returncode:
            sys.exit(code)  # it has printed why
        return
    available = max(1, torch.cuda.device_count()) if most == "auto" else int(most)
    count = max(n for n in range(1, available + 1) if not (shards or n) % n)
    if count == 1:
        work()
    else:
        _start(count)


def _this_command() -> list[str]:
    """What follows the name of Python."""
    return ["-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]  # type: ignore[union-attr]


def _start(count: int) -> None:
    """Run this command again in `count` processes; when one fails, all are ended."""
    logging.getLogger("torch.distributed.elastic").setLevel(
        logging.CRITICAL
    )  # the messages are ours
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
            codes = {
                one.exitcode: rank for rank, one in sorted(error.failures.items(), reverse=True)
            }
            if max(codes) > 0:
                sys.exit(1)  # it has printed why
            code = next(
                (code for code in codes if code != -signal.SIGTERM), -signal.SIGTERM
            )  # which the others got then
            rank = codes[code]
            raise UserError(
                f"process {rank} of {count} was ended by {signal.Signals(-code).name} (by hand, or by the system for "
                "want of memory): run `dvc repro` to resume after the last finished epoch"
            ) from None
        except SignalException as stopped:
            if stopped.sigval == signal.SIGINT:
                raise KeyboardInterrupt(
                    "finished epochs are kept in runs/resume; run `dvc repro` to resume"
                ) from None
            sys.exit(128 + stopped.sigval)
