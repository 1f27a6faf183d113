"""The classifier that judges colors: ResNet-18 up to layer2, on sRGB, with a linear layer on its pooled features."""

from torch import Tensor, nn
from torchvision.models import resnet18

from colorpipe.models.encoders import cut_after

LAST, CHANNELS = "layer2", 128


class Judge(nn.Module):
    """Logits over a data set's classes from sRGB."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = cut_after(resnet18(), LAST)
        self.head = nn.Linear(CHANNELS, classes)

    def forward(self, rgb: Tensor) -> Tensor:
        """Logits (B, classes) from sRGB in 0..1 (B, 3, H, W)."""
        features = self.encoder(4 * rgb - 2)  # (B, CHANNELS, H / 8, W / 8)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits.float()
