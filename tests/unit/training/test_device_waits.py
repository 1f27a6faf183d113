"""No training step waits for the GPU. These tests look on the CPU for operators that would."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from colorpipe.color import bins
from colorpipe.config import AdversarialConfig
from colorpipe.losses.color_classification import ColorClassification
from colorpipe.losses.l1 import L1
from colorpipe.losses.loss import Loss
from colorpipe.losses.lpips import LPIPS
from colorpipe.losses.mse import MSE
from colorpipe.models.loading import build_colorizer
from colorpipe.pretext.finetune import Classifier, FinetuneTask
from colorpipe.training import devices
from colorpipe.training.adversarial import AdversarialTask
from colorpipe.training.augment import random_flip, random_shift
from colorpipe.training.colorization import ColorizationTask
from colorpipe.training.settings import TrainSettings

PRECISION = devices.supported_precision("bfloat16", torch.device("cpu"))
SETTINGS = TrainSettings(  # with a schedule and an average of the weights
    epochs=10, lr=0.01, batch_size=4, precision=PRECISION, seed=0, schedule="one_cycle", ema=0.9
)
MODELS = {
    "resnet18": {"cut": "layer2"},
    "eccv16": {},
    "unet": {"widths": [8, 8], "blocks": [1, 1]},
}


class WaitRecorder(TorchDispatchMode):
    """A recorder of operators that copy between the host and a GPU, and so wait for the GPU.

    On a CPU, `cpu()` and `tolist()` are not operators and cannot be recorded.
    """

    NAMES = (
        "_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "equal", "_unique2",
        "repeat_interleave",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        has_mask = name in ("index", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in self.NAMES or has_mask:
            self.operators.append(str(func))
        return func(*args, **(kwargs or {}))


def colorizer(model: str, loss: Loss) -> tuple[ColorizationTask, nn.Module]:
    return ColorizationTask(loss, PRECISION), build_colorizer(model, MODELS[model], loss.head)


def mse_colorizer():
    return colorizer("resnet18", MSE())


def unet_colorizer():
    return colorizer("unet", MSE())


def lpips_colorizer():
    return colorizer("resnet18", LPIPS(0, "random"))


def classification_colorizer():
    return colorizer(
        "eccv16", ColorClassification(bins.SoftEncoding(5, 5.0), torch.ones(bins.COUNT))
    )


def adversarial_colorizer():
    config = AdversarialConfig(
        discriminator_lr=0.01, discriminator_epochs=0, loss_weight=0.5, max_relative_mse=1.0
    )
    task = AdversarialTask(config, L1(), PRECISION)
    return task, build_colorizer("unet", MODELS["unet"])


def pretext_classifier():
    resnet = build_colorizer("resnet18", MODELS["resnet18"])
    return FinetuneTask(PRECISION), Classifier(resnet, classes=3)


@pytest.mark.parametrize(
    "build",
    [
        mse_colorizer,
        unet_colorizer,
        lpips_colorizer,
        classification_colorizer,
        adversarial_colorizer,
        pretext_classifier,
    ],
)
def test_no_step_waits_for_the_gpu(build):
    task, model = build()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    state = task.initial_state(model, SETTINGS, images.repeat(10, 1, 1, 1))
    labels, generator = torch.tensor([0, 1, 2, 0]), torch.Generator().manual_seed(0)

    def step() -> None:
        augmented = random_shift(random_flip(images, generator), 2, generator)
        task.train_step(state, (augmented, labels))

    step()  # makes constants that later steps reuse
    with WaitRecorder() as waits:
        step()
    assert not waits.operators


def test_the_recorder_notices_waits():
    values = torch.arange(3.0)
    with WaitRecorder() as waits:
        assert torch.tensor(1.0).item() == 1  # a constant, and a number that is read
        values[values > 1] = values[values > 1]
        values.unique()
    assert len(waits.operators) == 5
