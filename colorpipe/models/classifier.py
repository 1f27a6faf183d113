"""The pretext task's classifier: a colorizer's encoder, global average pooling, one linear layer."""

import torch
from torch import Tensor, nn

from colorpipe.color import lab
from colorpipe.models.base import Colorizer


class Classifier(nn.Module):
    """An encoder that sees L, and a linear layer on its pooled features."""

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


def xavier(colorizer: Colorizer, classes: int, seed: int) -> Classifier:
    """Build a classifier on a colorizer's encoder and redraw every weight: Xavier-uniform, biases zero.

    The paper's baseline. The encoder is the colorizer's own, changed in place.

    Xavier is not defined for the vectors of BatchNorm: scales are 1, shifts and running means 0, running variances 1.
    `seed` alone decides the draw.
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
