"""The pretext task's classifier: a colorizer's encoder, a mean over positions, one linear layer."""

import torch
from torch import Tensor, nn

from colorpipe import color
from colorpipe.models.colorizer import Colorizer


class Classifier(nn.Module):
    """An encoder that sees L, and a linear layer on its mean features."""

    def __init__(self, encoder: nn.Module, *, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(channels, classes)

    def forward(self, L: Tensor) -> Tensor:
        """L (B, 1, H, W) in 0..100 to logits (B, classes)."""
        features = self.encoder(color.normalize_L(L))  # (B, channels, H / stride, W / stride)
        return self.head(features.mean(dim=(2, 3))).float()


def xavier(colorizer: Colorizer, classes: int, seed: int) -> Classifier:
    """A classifier on a colorizer's encoder, every weight drawn anew: Xavier-uniform, biases zero (the report's start).

    The scales of BatchNorm are vectors, for which Xavier is not defined: they are 1, their shifts and running means 0,
    their running variances 1. `seed` alone decides the draw.
    """
    classifier = Classifier(colorizer.encoder, channels=colorizer.channels, classes=classes)
    generator = torch.Generator().manual_seed(seed)
    for module in classifier.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    return classifier
