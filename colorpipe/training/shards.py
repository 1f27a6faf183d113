"""The parts of a batch in data-parallel training, with the same result on any number of processes.

Each batch is cut into `train.shards` parts. BatchNorm normalizes each part by the part's own
statistics, and a step follows the mean of the parts' gradients, as in torch's
DistributedDataParallel. The gradients are added up in the order of the parts, so the number of
processes changes only the time. BatchNorm's running statistics are those of the first part.
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
    """The parts of each batch that this process works on.

    Args:
        count: Number of parts of a batch.

    Raises:
        UserError: The parts cannot be divided evenly among the processes.
    """

    def __init__(self, count: int = 1) -> None:
        if count % processes.count():
            raise UserError(
                f"train.shards: {count} parts cannot be divided evenly among "
                f"{processes.count()} processes: use a number of processes that divides it, or "
                "another number of parts"
            )
        each = count // processes.count()
        self.count = count
        self.own = range(processes.rank() * each, (processes.rank() + 1) * each)

    def split(self, batch: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Return this process's parts of a batch. The sizes of parts differ by at most one."""
        if self.count == 1:
            return [batch]
        split = [tensor.tensor_split(self.count) for tensor in batch]
        return [tuple(tensors[number] for tensors in split) for number in self.own]

    def each(
        self, model: nn.Module, function: Callable[[Part], Result], parts: Sequence[Part]
    ) -> list[Result]:
        """Apply a function that runs `model` to each part.

        Only the first part of a batch changes BatchNorm's running statistics.
        """
        results = []
        for number, part in zip(self.own, parts, strict=True):
            with contextlib.nullcontext() if number == 0 else _fixed_statistics(model):
                results.append(function(part))
        return results

    def backward(self, model: nn.Module, losses: Sequence[Tensor]) -> None:
        """Set the gradient of `model` to the mean over all parts, from this process's losses."""
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
    """Use the batch statistics without updating the running statistics."""
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
