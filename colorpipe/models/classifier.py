"""Classifiers on a colorizer's encoder: all of it with a linear layer on top, or linear layers on frozen features."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from colorpipe.color import lab

LEAST_DEVIATION = 1e-6  # of a feature that hardly varies


class Classifier(nn.Module):
    """An encoder that sees L, global average pooling, and a linear layer."""

    def __init__(self, encoder: nn.Module, *, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(channels, classes)

    def forward(self, L: Tensor) -> Tensor:
        """Logits (B, classes) from L (B, 1, H, W) in 0..100."""
        features = self.encoder(lab.normalize_L(L))
        if not isinstance(features, Tensor):  # of a U-Net: the coarsest level is the last
            features = features[-1]  # (B, channels, H / stride, W / stride)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits.float()


class LinearProbes(nn.Module):
    """A linear layer on the pooled features of each stage; the features, (B, D), are those of all stages side by side.

    They are standardized by their mean and deviation over the labeled images, so that stages of any scale train alike.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: Mapping[str, int], classes: int) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, width in widths.items()})
        self.register_buffer("mean", torch.zeros(sum(widths.values())))
        self.register_buffer("deviation", torch.ones(sum(widths.values())))

    def standardize(self, features: Tensor) -> Self:
        """Take the mean and the deviation of the labeled images' features (N, D)."""
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0, correction=0).clamp_min(LEAST_DEVIATION))
        return self

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits (B, classes) of each stage from features (B, D)."""
        parts = ((features - self.mean) / self.deviation).split(list(self.widths.values()), dim=1)
        return {name: self.heads[name](part) for name, part in zip(self.widths, parts, strict=True)}


def redraw_xavier(network: nn.Module, seed: int) -> None:
    """Redraw every weight in place, Xavier-uniform, biases zero: the paper's baseline.

    Xavier is not defined for the vectors of BatchNorm: scales are 1, shifts and running means 0, running variances 1.
    `seed` alone decides the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
