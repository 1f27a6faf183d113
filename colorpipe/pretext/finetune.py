"""Fine-tuning: an encoder and a linear layer, trained together on labeled gray images."""

import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe.color import lab
from colorpipe.inference import Metrics, autocast
from colorpipe.models.colorizer import Colorizer, pad_to_stride
from colorpipe.training.batches import Batch
from colorpipe.training.task import TrainingTask


class Classifier(nn.Module):
    """The encoder of a colorizer, global average pooling, and a linear layer.

    Args:
        colorizer: A colorizer. Its decoder is not used.
        classes: Number of classes.
    """

    def __init__(self, colorizer: Colorizer, classes: int) -> None:
        super().__init__()
        self.encoder, self.stride = colorizer.encoder, colorizer.stride
        self.head = nn.Linear(colorizer.channels, classes)

    def forward(self, L: Tensor) -> Tensor:
        """Return logits (B, classes) for L (B, 1, H, W) in [0, 100]."""
        features = self.encoder(lab.normalize_L(pad_to_stride(L, self.stride)))
        if not isinstance(features, Tensor):  # a U-Net returns all levels, the coarsest one last
            features = features[-1]  # (B, channels, H / stride, W / stride)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits.float()


class FinetuneTask(TrainingTask):
    """Training of a `Classifier` with cross-entropy."""

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return loss and accuracy for images (B, 3, H, W) uint8 and labels (B,)."""
        images, labels = batch
        L = lab.lightness(lab.uint8_to_float(images))
        with autocast(images.device, self.precision):
            logits = model(L)  # (B, classes)
        accuracy = (logits.detach().argmax(dim=1) == labels).double().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}
