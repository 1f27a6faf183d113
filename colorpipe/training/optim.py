"""Optimizers."""

import torch
from torch import nn


def adam(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Adam at a fixed learning rate, the paper's optimizer: fused, one kernel for all parameters."""
    return torch.optim.Adam(model.parameters(), lr=lr, fused=True)
