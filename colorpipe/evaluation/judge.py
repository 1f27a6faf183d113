"""Semantic interpretability (Zhang et al. 2016): do predicted colors look to a classifier as true ones do?

One classifier a data set, the judge, is trained on the true colors of the training images; `evaluation.colorizers` shows it
each row's test images.
"""

import torch
from torch import Tensor

from colorpipe import io, paths, weights
from colorpipe.config import Params
from colorpipe.data import load as arrays
from colorpipe.models.judge import Judge
from colorpipe.tasks import supervised
from colorpipe.tasks.classification import ClassificationTask, leave_out
from colorpipe.training import device as devices
from colorpipe.training.settings import TrainSettings


def train(data: str, recipe: str, params: Params) -> None:
    """Train the judge of a data set: writes models/judge/<data>/{best,last}.safetensors and curves/judge/<data>.csv.

    Where the data set has fewer than two classes, they are files that say so.
    """
    name = f"judge/{data}"
    classes = io.read_json(paths.classes(data))
    if len(classes) < 2:
        leave_out(name, data, len(classes))
        return
    device = devices.prepare(params.seed, params.threads)
    settings = TrainSettings.from_params(params.recipe(recipe), params.data(data), params.seed, device)
    model = Judge(len(classes)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    files = {split: [path(data, split) for path in (paths.images, paths.labels)] for split in ("train", "val")}
    train = tuple(arrays.load(path, device, shuffled=True) for path in files["train"])
    val = tuple(arrays.load(path, device) for path in files["val"])
    task = ClassificationTask(settings.precision, sees=true_colors)
    metadata = {"judge": data, "data": data, "classes": classes}
    supervised.train(name, task, model, (train, val), settings, metadata, [*files["train"], *files["val"]])


def true_colors(rgb: Tensor) -> Tensor:
    """All of an image (B, 3, H, W), for convolutions."""
    return rgb.contiguous(memory_format=torch.channels_last)


def load(data: str, device: torch.device) -> Judge | None:
    """The trained judge of a data set in eval mode; None where it was left out."""
    tensors, metadata = weights.load(paths.checkpoint(f"judge/{data}", "best"))
    if "left_out" in metadata:
        return None
    model = Judge(len(metadata["classes"]))
    model.load_state_dict(tensors)
    return model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def accuracy(judge: Judge, rgb: Tensor, labels: Tensor) -> Tensor:
    """The share of images (B, 3, H, W) in 0..1 that the judge recognizes, a scalar."""
    correct: Tensor = judge(true_colors(rgb)).argmax(dim=1) == labels
    return correct.double().mean()
