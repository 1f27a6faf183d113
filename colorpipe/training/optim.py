"""Optimizers, learning rate schedules and the average of the weights, as `train` and `recipes` of params.yaml name them."""

import copy
import itertools

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

OPTIMIZERS: dict[str, type[Adam | AdamW]] = {"adam": Adam, "adamw": AdamW}
WARM_UP = 10  # steps: the average's decay is at most (1 + step) / (WARM_UP + step), so it forgets the initial weights


def build_optimizer(
    model: nn.Module,
    name: str,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """Adam or AdamW: fused, one kernel for all parameters. Biases and BatchNorm's vectors do not decay."""
    parameters: list[dict[str, object]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1]}
    ]
    parameters.append(
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0}
    )
    return OPTIMIZERS[name](parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def build_schedule(optimizer: Optimizer, name: str, steps: int) -> LRScheduler | None:
    """The schedule over `steps` steps from the optimizer's learning rate; None where it is constant.

    "one_cycle" (Smith and Topin 2018) rises from 1/25 of it for 30% of the steps, then falls to nearly 0; "cosine" falls
    from it to 0. Adam's betas stay.
    """
    if name == "one_cycle":
        lr = optimizer.param_groups[0]["lr"]
        return OneCycleLR(optimizer, max_lr=lr, total_steps=max(2, steps), cycle_momentum=False)
    return CosineAnnealingLR(optimizer, T_max=steps) if name == "cosine" else None


class WeightAverage(nn.Module):
    """An exponential moving average of a model's weights and of BatchNorm's running means and variances, in `module`.

    As torch's AveragedModel, which copies its count of steps to the device in every step, and waits for it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """One step: the first one copies the model; later ones keep `decay` of the average, less at first (see WARM_UP)."""
        averages, current = (
            list(itertools.chain(one.parameters(), one.buffers())) for one in (self.module, model)
        )
        share = (
            1 - min(self.decay, (1 + self.steps) / (WARM_UP + self.steps)) if self.steps else 1.0
        )
        floats = [number for number, tensor in enumerate(averages) if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [averages[number] for number in floats], [current[number] for number in floats], share
        )
        counts = [
            number for number in range(len(averages)) if number not in floats
        ]  # BatchNorm's, of batches
        if counts:
            torch._foreach_copy_(
                [averages[number] for number in counts], [current[number] for number in counts]
            )
        self.steps += 1

    def get_extra_state(self) -> int:
        """The count of steps, for `state_dict`."""
        return self.steps

    def set_extra_state(self, state: int) -> None:
        """Restore the count of steps."""
        self.steps = state
