"""Optimizers, learning rate schedules and the average of the weights, as `train` and `recipes` of params.yaml name them."""

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

OPTIMIZERS: dict[str, type[Adam | AdamW]] = {"adam": Adam, "adamw": AdamW}
Tensors = tuple[Tensor, ...] | list[Tensor]
WARM_UP = 10  # steps: the average's decay is at most (1 + step) / (WARM_UP + step), so it forgets the initial weights


def build_optimizer(
    model: nn.Module, name: str, lr: float, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> Optimizer:
    """Adam or AdamW: fused, one kernel for all parameters. Biases and BatchNorm's vectors do not decay."""
    parameters: list[dict[str, object]] = [{"params": [p for p in model.parameters() if p.ndim > 1]}]
    parameters.append({"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0})
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


def average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights and of BatchNorm's running means and variances.

    A step of it is `update_parameters(model)`; the first one copies the model. Later ones keep `decay` of the average, less
    in the first steps (see WARM_UP).
    """

    def update(averages: Tensors, current: Tensors, step: Tensor | int) -> None:
        if not averages[0].is_floating_point():  # BatchNorm's count of batches
            torch._foreach_copy_(averages, current)
            return
        share = 1 - torch.as_tensor((1 + step) / (WARM_UP + step)).clamp(max=decay)
        changes = torch._foreach_sub(current, averages)
        torch._foreach_mul_(changes, share)
        torch._foreach_add_(averages, changes)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
