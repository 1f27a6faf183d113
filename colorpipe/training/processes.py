"""The processes that share a training run, and what they exchange (torch.distributed).

They use NCCL on GPUs and gloo on CPUs. `runtime.launch`, or a launcher such as torchrun, starts
them and sets RANK, WORLD_SIZE, LOCAL_RANK and the address of rank 0. Without these variables a
process is alone, and the functions of this module change nothing.
"""

import atexit
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import has_launcher

Value = TypeVar("Value")


def rank() -> int:
    """Return the number of this process. Only process 0 writes files and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join(expected: int) -> torch.device:
    """Join the other processes, and choose a GPU of this machine for each process, or the CPU.

    Args:
        expected: `processes` of params.yaml.

    Raises:
        UserError: A launcher has started another number of processes, or there are too few GPUs.
    """
    started = int(os.environ["WORLD_SIZE"]) if has_launcher() else 1
    if started != expected:
        raise UserError(
            f"params.yaml: processes is {expected}, but the launcher started {started}: set "
            f"processes to {started}, or let the launcher start {expected}"
        )
    cuda, local_rank = torch.cuda.is_available(), int(os.environ.get("LOCAL_RANK", 0))
    if cuda and local_rank >= torch.cuda.device_count():
        raise UserError(
            f"params.yaml: processes is {expected}: each process needs a GPU, and this machine has "
            f"only {torch.cuda.device_count()}: lower it"
        )
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if expected > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
        atexit.register(_exit_if_failed)
        if rank() > 0:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 for the rest of the process
    return device


def leave() -> None:
    """Leave the other processes after training has succeeded."""
    if dist.is_initialized():
        dist.destroy_process_group()


def wrap(model: nn.Module) -> nn.Module:
    """Return a model whose `backward` averages the gradients of all processes.

    The gradients are averaged only if `forward` of the returned model is called. BatchNorm
    normalizes the part of each process separately, and its running statistics are those of rank 0.
    """
    return DistributedDataParallel(model) if world_size() > 1 else model


def own_part(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return this process's part of a batch. The sizes of the parts differ by at most one."""
    return tuple(tensor.tensor_split(world_size())[rank()] for tensor in batch)


def gather(value: Value) -> list[Value]:
    """Return the values of all processes, in the order of their ranks."""
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def broadcast(value: Value) -> Value:
    """Return the value of rank 0 in all processes. Its tensors are on the CPU."""
    values = [value]
    if world_size() > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def _exit_if_failed() -> None:
    """End this process without `destroy_process_group`, which waits for the others under NCCL."""
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
