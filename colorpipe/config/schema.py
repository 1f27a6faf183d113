"""What each section of params.yaml may hold. The meaning and unit of each parameter stand in params.yaml itself."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from colorpipe.config.section import Strict, plugin_config
from colorpipe.runtime.errors import UserError

REFERENCE_ENCODERS = (
    "xavier",
    "random",
    "imagenet",
)  # what a classifier of the pretext task starts from, beside colorizers
Text = Annotated[str, Field(min_length=1)]
Temperature = Annotated[float, Field(gt=0, le=100)]
Value = TypeVar("Value")


def _count_or_share(value: float) -> float:
    """A whole number of images, or a share of them below one half."""
    if not (0 < value < 0.5 or (value >= 1 and value.is_integer())):
        raise PydanticCustomError(
            "count_or_share", "should be a whole number of images, or a share below 0.5"
        )
    return value


def _count_or_auto(value: object) -> object:
    if value != "auto" and not (type(value) is int and 1 <= value <= 1024):
        raise PydanticCustomError(
            "count_or_auto", "should be 'auto' or a whole number from 1 to 1024"
        )
    return value


def _two_images_each(shards: int, info: ValidationInfo) -> int:
    if 2 * shards > info.data.get("batch_size", 2 * shards):
        raise PydanticCustomError(
            "two_images_each", "should be at most half of batch_size: BatchNorm needs two images"
        )
    return shards


class DatasetConfig(Strict):
    source: Text
    md5: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    size: Annotated[int, Field(ge=16, le=1024)]
    val_size: Annotated[float, AfterValidator(_count_or_share)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    flips: bool
    pretrained: bool
    lpips_weights: Literal["imagenet", "random"]


class TrainConfig(Strict):
    optimizer: Literal["adam", "adamw"]
    lr: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "one_cycle", "cosine"]
    ema: Annotated[float, Field(ge=0, lt=1)]
    flips: bool
    shifts: Annotated[int, Field(ge=0, le=7)]  # less than the smallest size of images
    epochs_factor: Annotated[float, Field(gt=0, le=100)]
    batch_size: Annotated[
        int, Field(ge=2, le=65_536)
    ]  # BatchNorm needs two images where features are 1x1
    shards: Annotated[int, Field(ge=1, le=1024), AfterValidator(_two_images_each)]
    precision: Literal["bfloat16", "float32"]
    compile: bool


class EvaluationConfig(Strict):
    temperature: Temperature
    temperatures: Annotated[list[Temperature], Field(min_length=1, max_length=20)]


def _unique(values: list[Value]) -> list[Value]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("unique", "should name each only once")
    return values


Unique = AfterValidator(_unique)


class PretextRun(NamedTuple):
    """A run of the pretext task: what it starts from, how its features are used, and the percent of the training labels."""

    init: str
    mode: str
    labels: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"pretext/{self.init}-{self.mode}-{self.labels}"


class PretextConfig(Strict):
    model: Text
    inits: Annotated[list[Text], Field(min_length=1, max_length=100), Unique]
    modes: Annotated[list[Literal["finetune", "probe", "knn"]], Field(min_length=1), Unique]
    labels: Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1), Unique]
    steps: Annotated[int, Field(ge=1, le=10_000_000)]
    neighbors: Annotated[int, Field(ge=1, le=1_000_000)]
    temperature: Temperature

    def runs(self) -> list[PretextRun]:
        """All runs, as DVC's `matrix` unfolds them."""
        return [PretextRun(*one) for one in itertools.product(self.inits, self.modes, self.labels)]


class ImageNetConfig(Strict):
    source: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class Params(Strict):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    processes: Annotated[int | Literal["auto"], BeforeValidator(_count_or_auto)]
    loss: Text
    dataset: Text
    large_dataset: Text
    datasets: dict[str, DatasetConfig]
    models: dict[str, dict[str, Any]]
    losses: dict[str, dict[str, Any]]
    tasks: dict[str, dict[str, Any]]
    train: TrainConfig
    recipes: dict[str, dict[str, Any]]
    evaluation: EvaluationConfig
    pretext: PretextConfig
    imagenet: dict[str, ImageNetConfig]

    def data(self, name: str) -> DatasetConfig:
        """The settings of a data set. Raises UserError for an unknown name."""
        return _named(self.datasets, "datasets", name)

    def model(self, name: str) -> dict[str, Any]:
        """The settings of an architecture. Raises UserError for an unknown name."""
        return _named(self.models, "models", name)

    def loss_settings(self, name: str) -> dict[str, Any]:
        """The settings of a loss. Raises UserError for an unknown name."""
        return _named(self.losses, "losses", name)

    def task(self, name: str) -> dict[str, Any]:
        """The settings of a training task. Raises UserError for an unknown name."""
        return _named(self.tasks, "tasks", name)

    def recipe(self, name: str) -> TrainConfig:
        """How a row is trained: `train`, with what the recipe changes. Raises UserError for an unknown name."""
        changes = _named(self.recipes, "recipes", name)
        return plugin_config(
            TrainConfig, {**self.train.model_dump(), **changes}, f"params.yaml: recipes.{name}"
        )


def _named(section: Mapping[str, Value], key: str, name: str) -> Value:
    if name not in section:
        raise UserError(f"params.yaml has no {key}.{name}; it has {', '.join(section)}")
    return section[name]
