"""Optimizers, learning rate schedules and the weight average, named as in params.yaml."""

import copy
import itertools

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from colorpipe.models.colorizer import ENCODER

OPTIMIZERS: dict[str, type[Adam | AdamW]] = {"adam": Adam, "adamw": AdamW}
WARM_UP = 10  # steps; the decay of the average is at most (1 + step) / (WARM_UP + step)


def build_optimizer(
    model: nn.Module,
    name: str,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    encoder_lr_factor: float = 1.0,
) -> Optimizer:
    """Build a fused Adam or AdamW. Biases and the vectors of BatchNorm have no weight decay.

    The learning rate of the model's encoder is `encoder_lr_factor` times `lr`.
    """
    weights = dict(model.named_parameters())
    encoder = [key for key in weights if key.startswith(ENCODER) and encoder_lr_factor != 1]
    others = [key for key in weights if key not in encoder]
    groups: list[dict[str, object]] = []
    for keys, rate in ((others, lr), (encoder, lr * encoder_lr_factor)):
        if keys:
            matrices = [weights[key] for key in keys if weights[key].ndim > 1]
            vectors = [weights[key] for key in keys if weights[key].ndim <= 1]
            groups.append({"params": matrices, "lr": rate})
            groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    return OPTIMIZERS[name](groups, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def build_schedule(optimizer: Optimizer, name: str, steps: int) -> LRScheduler | None:
    """Build a learning rate schedule over `steps` steps, or return None for a constant rate.

    "one_cycle" (Smith and Topin 2018) rises from 1/25 of the optimizer's learning rates for 30% of
    the steps, then falls to almost 0. "cosine" falls from the learning rates to 0. Adam's betas do
    not change.
    """
    if name == "one_cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=rates, total_steps=max(2, steps), cycle_momentum=False)
    return CosineAnnealingLR(optimizer, T_max=steps) if name == "cosine" else None


class WeightAverage(nn.Module):
    """An exponential moving average of a model's weights and of BatchNorm's running statistics.

    It does what torch's AveragedModel does, with two differences. The decay is lower during a
    warm-up, so that the initial weights are forgotten even in a short training run. And the number
    of steps stays on the host: AveragedModel copies it to the device in every step and waits for
    the device.

    Args:
        model: The model to average. The average itself is `module`.
        decay: Share of the average that is kept in each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Average in the weights of `model`. The first call copies them."""
        averages, current = (
            list(itertools.chain(network.parameters(), network.buffers()))
            for network in (self.module, model)
        )
        decay = min(self.decay, (1 + self.steps) / (WARM_UP + self.steps)) if self.steps else 0.0
        floats = [i for i, tensor in enumerate(averages) if tensor.is_floating_point()]
        torch._foreach_lerp_([averages[i] for i in floats], [current[i] for i in floats], 1 - decay)
        counts = [i for i in range(len(averages)) if i not in floats]  # BatchNorm's batch counts
        if counts:
            torch._foreach_copy_([averages[i] for i in counts], [current[i] for i in counts])
        self.steps += 1

    def get_extra_state(self) -> int:
        """Return the number of steps, for `state_dict`."""
        return self.steps

    def set_extra_state(self, state: int) -> None:
        """Restore the number of steps."""
        self.steps = state
