"""The settings of one training run."""

from dataclasses import dataclass
from typing import Self

import torch

from colorpipe.config import DatasetConfig, TrainConfig
from colorpipe.training import devices
from colorpipe.training.batches import batch_starts


@dataclass(frozen=True)
class TrainSettings:
    """A recipe of params.yaml for one data set and one device.

    Attributes:
        recipe: The path of the recipe in params.yaml, for messages.
    """

    epochs: int
    lr: float
    batch_size: int
    precision: str
    seed: int
    flips: bool = False
    shifts: int = 0
    optimizer: str = "adam"
    encoder_lr_factor: float = 1.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    ema: float = 0.0
    compile: bool = False
    processes: int = 1
    recipe: str = "train"

    @classmethod
    def from_params(
        cls,
        recipe: TrainConfig,
        dataset: DatasetConfig,
        seed: int,
        device: torch.device,
        processes: int = 1,
        path: str = "train",
    ) -> Self:
        """Return the settings of a recipe for a data set, in a precision that the device has.

        With an adversarial phase, at least one epoch trains both networks.
        """
        settings = recipe.model_dump(exclude={"adversarial"})
        settings["precision"] = devices.supported_precision(recipe.precision, device)
        settings["flips"] = dataset.flips if recipe.flips is None else recipe.flips
        first = recipe.adversarial.discriminator_epochs if recipe.adversarial else 0
        epochs = max(first + 1, round(settings.pop("epochs_factor") * dataset.epochs))
        return cls(epochs=epochs, seed=seed, processes=processes, recipe=path, **settings)

    @property
    def smallest_batch(self) -> int:
        """The fewest images of a batch: BatchNorm needs two in each process."""
        return 2 * self.processes

    def steps(self, images: int) -> int:
        """Return the number of optimizer steps on a train set of `images` images."""
        return self.epochs * len(batch_starts(images, self.batch_size, self.smallest_batch))
