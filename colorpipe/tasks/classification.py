"""Classification: the downstream task, on L, of an encoder that colorization pretrained."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe import io, paths, weights
from colorpipe.color import lab
from colorpipe.tasks.supervised import SupervisedTask
from colorpipe.training import device as devices
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch


class ClassificationTask(SupervisedTask):
    """A classifier trained on cross-entropy. It sees what `sees` makes of sRGB in 0..1 (B, 3, H, W): L, or all of it."""

    def __init__(self, precision: str, sees: Callable[[Tensor], Tensor] = lab.lightness) -> None:
        super().__init__(precision)
        self.sees = sees

    def metrics(self, model: nn.Module, batch: Batch) -> Metrics:
        """Cross-entropy and accuracy of stored images (B, 3, H, W) uint8 and labels (B,)."""
        images, labels = batch
        seen = self.sees(lab.from_bytes(images))
        with devices.autocast(images.device, self.precision):
            logits = model(seen)  # (B, classes)
        accuracy = (logits.detach().argmax(dim=1) == labels).double().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}


def leave_out(name: str, data: str, classes: int) -> str:
    """Write a classifier's files without weights or epochs: its data set has too few classes. Returns the reason."""
    reason = f"{data} has {classes or 'no'} class{'es' if classes != 1 else ''}"
    for which in ("best", "last"):
        weights.save(paths.checkpoint(name, which), {}, {"left_out": reason})
    io.write_history(paths.curves(name), [])
    print(f"{name}: left out: {reason}")
    return reason
