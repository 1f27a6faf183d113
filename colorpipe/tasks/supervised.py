"""The usual training step: one model, one loss, one optimizer."""

import os
import shutil
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from colorpipe.runtime.errors import UserError
from colorpipe.training.loop import Batch, Metrics
from colorpipe.training.state import MODEL, TrainState


class SupervisedTask(ABC):
    """A task whose `metrics` are a function of the model and a batch; a subclass defines them."""

    def __init__(self, precision: str) -> None:
        self.precision = precision

    @abstractmethod
    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Means over the batch, scalars: "loss" with its gradient, and others."""

    def train_step(self, state: TrainState, batch: Batch) -> Metrics:
        """One step of the optimizer on the loss."""
        optimizer = state.optimizers[MODEL]
        optimizer.zero_grad(set_to_none=True)
        metrics = self.metrics(state.model, batch)
        metrics["loss"].backward()
        optimizer.step()
        return metrics

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """The metrics of a batch."""
        return self.metrics(model, batch)

    def compile(self, device: torch.device) -> None:
        """Compile `metrics` and its gradient to fused kernels, on a GPU replayed as CUDA graphs.

        The optimizer, fused already, stays outside. Each size of batch is compiled for itself. Raises UserError where there
        is no compiler for the CPU.
        """
        if device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
            raise UserError("train.compile=true needs a C++ compiler on a CPU: install g++, or set train.compile=false")
        fused = torch.compile(self.metrics, mode="reduce-overhead", dynamic=False)

        def metrics(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
            torch.compiler.cudagraph_mark_step_begin()  # the last step's results have been added up: reuse their memory
            return fused(model, batch)

        self.metrics = metrics  # type: ignore[method-assign]
