"""The processes of one training, or of one test: which of them this is, and what they exchange (torch.distributed).

Gloo on CPUs, NCCL on GPUs. Started by `runtime.launch`, by torchrun or by a cluster's launcher, which set RANK, WORLD_SIZE
and the address of rank 0 in the environment. Without these a process is alone, and everything here does nothing.
"""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from colorpipe.runtime.errors import PeerLostError, one_line

TIMEOUT = timedelta(
    minutes=10
)  # for what another process has to send: longer than an epoch's validation and saving
Value = TypeVar("Value")


def rank() -> int:
    """This process's number; only 0 writes files and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join() -> torch.device:
    """Join the others, and choose the device: a GPU of this machine for each process, or the CPU.

    Raises PeerLostError where they do not all come.
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
    """Raise PeerLostError for what torch.distributed raises where a process has ended, or does not answer in time."""
    try:
        yield
    except RuntimeError as error:  # the backends' errors are subclasses of it, or it
        raise PeerLostError(one_line(error)) from error


def gather(value: Value) -> list[Value]:
    """The value of each process, in the order of their ranks, for all of them; any Python object, tensors on the CPU."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    with naming_lost_peers():
        dist.all_gather_object(values, value)
    return values


def deal(items: Iterable[Value]) -> Iterator[Value]:
    """This process's items of those that are dealt out one by one: each processes a share of the batches of a test."""
    return (item for number, item in enumerate(items) if number % count() == rank())


def collect(values: Sequence[Value]) -> list[Value]:
    """What all processes made of the items that they were dealt, in the order of the items."""
    hands = gather(list(values))
    return [hands[number % count()][number // count()] for number in range(sum(map(len, hands)))]


def share(value: Value) -> Value:
    """The value of rank 0, for all."""
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
    """Wait until all processes are here: what rank 0 wrote before is there."""
    gather(None)


def sum_in_order(terms: Tensor) -> Tensor:
    """The sum over the terms (k, n) of all processes, in the order of their ranks, for all: (n,).

    Each process adds up one slice of the terms and sends the sum to the others, so the order of the additions, and with it
    every bit, is that of one process with all the terms; twice the terms' size is sent, as by an all-reduce.
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
            own = _added_up(received.flatten(0, 1))
            total = own.new_empty(count() * len(own))
            dist.all_gather_into_tensor(total, own)
        return total[:size]
    return _added_up(terms)


def _added_up(terms: Tensor) -> Tensor:
    total = terms[0].clone()
    for term in terms[1:]:
        total += term
    return total
