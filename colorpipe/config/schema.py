"""The sections of params.yaml. params.yaml itself explains each parameter and its unit."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from colorpipe.config.strict import Strict
from colorpipe.runtime.errors import UserError

REFERENCE_ENCODERS = ("xavier", "random", "imagenet")
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(gt=0, le=100)]
Value = TypeVar("Value")


def _count_or_fraction(value: float) -> float:
    if not (0 < value < 0.5 or (value >= 1 and value.is_integer())):
        raise PydanticCustomError(
            "count_or_fraction", "input should be a whole number of images, or a fraction below 0.5"
        )
    return value


class DatasetConfig(Strict):
    source: Text
    md5: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    size: Annotated[int, Field(ge=16, le=1024)]
    val_size: Annotated[float, AfterValidator(_count_or_fraction)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    flips: bool
    start: Text
    lpips_weights: Literal["imagenet", "random"]
    toned: bool = False  # only the folder data set has it


class AdversarialConfig(Strict):
    discriminator_lr: Annotated[float, Field(gt=0, le=1)]
    discriminator_epochs: Annotated[int, Field(ge=0, le=1000)]
    loss_weight: Annotated[float, Field(ge=0, le=1e6)]
    max_relative_mse: Annotated[float, Field(gt=0, le=10)]


class TrainConfig(Strict):
    optimizer: Literal["adam", "adamw"]
    lr: Annotated[float, Field(gt=0, le=1)]
    encoder_lr_factor: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "one_cycle", "cosine"]
    ema: Annotated[float, Field(ge=0, lt=1)]
    flips: bool | None
    shifts: Annotated[int, Field(ge=0, le=7)]  # less than half of the smallest image
    epochs_factor: Annotated[float, Field(gt=0, le=100)]
    batch_size: Annotated[int, Field(ge=2, le=65_536)]  # BatchNorm needs two images
    precision: Literal["bfloat16", "float32"]
    compile: bool
    adversarial: AdversarialConfig | None = None


class EvaluationConfig(Strict):
    alpha: Share
    temperature: Temperature
    alphas: Annotated[list[Share], Field(min_length=1, max_length=20)]
    temperatures: Annotated[list[Temperature], Field(min_length=1, max_length=20)]


def _unique(values: list[Value]) -> list[Value]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("unique", "input should name each value only once")
    return values


Unique = AfterValidator(_unique)


class PretextRun(NamedTuple):
    """A run of the pretext task.

    Attributes:
        init: The colorizer or reference encoder whose weights it starts from.
        mode: finetune, probe or knn.
        labels: Percentage of the training labels.
    """

    init: str
    mode: str
    labels: int

    @property
    def name(self) -> str:
        """The name of the run's files."""
        return f"pretext/{self.init}-{self.mode}-{self.labels}"


class PretextConfig(Strict):
    model: Text
    inits: Annotated[list[Text], Field(min_length=1, max_length=100), Unique]
    modes: Annotated[list[Literal["finetune", "probe", "knn"]], Field(min_length=1), Unique]
    labels: Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1), Unique]
    min_steps: Annotated[int, Field(ge=1, le=10_000_000)]
    neighbors: Annotated[int, Field(ge=1, le=1_000_000)]
    temperature: Temperature

    def runs(self) -> list[PretextRun]:
        """Return all runs, in the order of DVC's `matrix`."""
        product = itertools.product(self.inits, self.modes, self.labels)
        return [PretextRun(*values) for values in product]


class ImageNetConfig(Strict):
    source: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class Params(Strict):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    processes: Annotated[int, Field(ge=1, le=1024)]
    loss: Text
    dataset: Text
    large_dataset: Text
    datasets: Annotated[dict[str, DatasetConfig], Field(min_length=1)]
    models: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    losses: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    train: TrainConfig
    recipes: dict[str, TrainConfig]
    evaluation: EvaluationConfig
    pretext: PretextConfig
    imagenet: dict[str, ImageNetConfig]

    def data(self, name: str) -> DatasetConfig:
        """Return the settings of a data set, or raise UserError for an unknown name."""
        return _get(self.datasets, "datasets", name)

    def model(self, name: str) -> dict[str, Any]:
        """Return the settings of an architecture, or raise UserError for an unknown name."""
        return _get(self.models, "models", name)

    def loss_settings(self, name: str) -> dict[str, Any]:
        """Return the settings of a loss, or raise UserError for an unknown name."""
        return _get(self.losses, "losses", name)

    def recipe(self, path: str) -> TrainConfig:
        """Return the recipe at "train" or "recipes.<name>", or raise UserError for another path."""
        recipes = {f"recipes.{name}": recipe for name, recipe in self.recipes.items()}
        recipes = {"train": self.train, **recipes}
        if path not in recipes:
            raise UserError(f"params.yaml has no {path}; it has {', '.join(recipes)}")
        return recipes[path]


def _get(section: Mapping[str, Value], key: str, name: str) -> Value:
    if name not in section:
        raise UserError(f"params.yaml has no {key}.{name}; it has {', '.join(section)}")
    return section[name]
