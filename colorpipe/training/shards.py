"""The parts of a batch: what data-parallel training does, on any number of processes with the same result.

Each batch is cut into `train.shards` parts. BatchNorm takes its statistics from one part at a time, and a step follows the
mean of the parts' gradients, as in torch's DistributedDataParallel. A process works on one part or on several: the sums are
taken in the order of the parts, so that the number of processes decides only the time. BatchNorm's running statistics are
those of the first part, as DistributedDataParallel's are those of rank 0.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from colorpipe.runtime.errors import UserError
from colorpipe.training import processes

Part = TypeVar("Part")
Result = TypeVar("Result")


class Shards:
    """Which parts of each batch this process works on.

    Args:
        count: parts of a batch.

    Raises:
        UserError: they cannot be shared out evenly among the processes.
    """

    def __init__(self, count: int = 1) -> None:
        if count % processes.count():
            raise UserError(
                f"train.shards: {count} parts cannot be shared out evenly among {processes.count()} processes: start a "
                "number of processes that divides it, or set another number"
            )
        each = count // processes.count()
        self.count = count
        self.own = range(processes.rank() * each, (processes.rank() + 1) * each)

    def split(self, batch: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """This process's parts of a batch of tensors of equal length: sizes differ by at most one."""
        if self.count == 1:
            return [batch]
        split = [tensor.tensor_split(self.count) for tensor in batch]
        return [tuple(tensors[number] for tensors in split) for number in self.own]

    def each(
        self, model: nn.Module, function: Callable[[Part], Result], parts: Sequence[Part]
    ) -> list[Result]:
        """The function of each part, in which `model` is run: only the first part of a batch changes running statistics."""
        results = []
        for number, part in zip(self.own, parts, strict=True):
            with contextlib.nullcontext() if number == 0 else _fixed_statistics(model):
                results.append(function(part))
        return results

    def backward(self, model: nn.Module, losses: Sequence[Tensor]) -> None:
        """Set the gradient of `model` to the mean over all parts, given the losses of this process's parts."""
        gradients = []
        for loss in losses:
            model.zero_grad(set_to_none=True)
            loss.backward()
            if self.count > 1:
                trained = [
                    parameter.grad for parameter in model.parameters() if parameter.grad is not None
                ]
                gradients.append(torch.cat([gradient.flatten() for gradient in trained]))
        if self.count > 1:
            mean = processes.sum_in_order(torch.stack(gradients)) / self.count
            for gradient, values in zip(
                trained, mean.split([gradient.numel() for gradient in trained]), strict=True
            ):
                gradient.copy_(values.view_as(gradient))


@contextlib.contextmanager
def _fixed_statistics(model: nn.Module) -> Iterator[None]:
    """In training mode, normalize by the batch's statistics as ever, but leave the running ones."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
