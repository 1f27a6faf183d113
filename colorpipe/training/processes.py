"""The processes that share a training (torch.distributed).

They use gloo on CPUs and NCCL on GPUs. `runtime.launch`, torchrun or a cluster's launcher starts
them and sets RANK, WORLD_SIZE and the address of rank 0. Without these variables, a process is
alone, and the functions of this module do nothing.
"""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from colorpipe.runtime.errors import PeerLostError, one_line

# Longer than another process needs for the validation of an epoch and for saving.
TIMEOUT = timedelta(minutes=10)
Value = TypeVar("Value")


def rank() -> int:
    """Return the number of this process. Only process 0 writes files and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join() -> torch.device:
    """Join the other processes, and choose a GPU of this machine for each process, or the CPU.

    Raises:
        PeerLostError: Not all processes have come.
    """
    cuda = torch.cuda.is_available()
    device = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    )
    if cuda:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        with naming_lost_peers():
            dist.init_process_group(
                "nccl" if cuda else "gloo", timeout=TIMEOUT, device_id=device if cuda else None
            )
        atexit.register(dist.destroy_process_group)
        if rank() > 0:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 for the rest of the process
    return device


@contextlib.contextmanager
def naming_lost_peers() -> Iterator[None]:
    """Turn an error of torch.distributed into a PeerLostError."""
    try:
        yield
    except RuntimeError as error:  # or a subclass of it
        raise PeerLostError(one_line(error)) from error


def gather(value: Value) -> list[Value]:
    """Return the values of all processes, in the order of their ranks.

    A value is any Python object that can be pickled. Its tensors are on the CPU.
    """
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    with naming_lost_peers():
        dist.all_gather_object(values, value)
    return values


def deal(items: Iterable[Value]) -> Iterator[Value]:
    """Yield every n-th item, starting with this process, so that n processes share the items."""
    return (item for number, item in enumerate(items) if number % count() == rank())


def share(value: Value) -> Value:
    """Return the value of rank 0 in all processes."""
    values = [value]
    if count() > 1:
        with naming_lost_peers():
            dist.broadcast_object_list(values, src=0)
    return values[0]


def share_tensors(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of rank 0."""
    if count() > 1:
        with naming_lost_peers():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


def wait() -> None:
    """Wait until all processes have come here, so that the files of rank 0 are complete."""
    gather(None)


def sum_in_order(terms: Tensor) -> Tensor:
    """Add up the terms (k, n) of all processes in the order of their ranks.

    Each process adds up one slice of the terms and sends the sum to the others. So the order of the
    additions, and with it every bit, is that of a single process with all terms. As much is sent as
    by an all-reduce: twice the size of the terms.

    Returns:
        The sum, (n,), in all processes.
    """
    if count() > 1:
        size = terms.shape[1]
        slices = (
            torch.nn.functional.pad(terms, (0, -size % count()))
            .view(len(terms), count(), -1)
            .transpose(0, 1)
        )
        received = torch.empty_like(slices, memory_format=torch.contiguous_format)
        with naming_lost_peers():
            dist.all_to_all_single(received, slices.contiguous())
            own = _add_up(received.flatten(0, 1))
            total = own.new_empty(count() * len(own))
            dist.all_gather_into_tensor(total, own)
        return total[:size]
    return _add_up(terms)


def _add_up(terms: Tensor) -> Tensor:
    total = terms[0].clone()
    for term in terms[1:]:
        total += term
    return total
