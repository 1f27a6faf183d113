"""params.yaml, loaded once and strictly: an unknown key, a wrong type, a value out of range or an unknown name stops.

The meaning and unit of each parameter stand in params.yaml; here is what is allowed. The sections `datasets`, `models`,
`losses` and `tasks` name the files of colorpipe/data, models, losses and tasks: a new file and its section are enough. The
`Config` in the file of a model, a loss or a task defines its section.
"""

import importlib
import itertools
import reprlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from colorpipe.runtime.errors import UserError, one_line

PIPELINE = Path("dvc.yaml")
CONTROLS = ("xavier", "random", "imagenet")  # what a classifier of the pretext task starts from, beside colorizers
MAX_VALUE_LENGTH = 80  # characters of a wrong value in a message
ENTRY_POINTS = {
    "datasets": ("data", "read"),
    "models": ("models", "build"),
    "losses": ("losses", "build"),
    "tasks": ("tasks", "train"),
}
Text = Annotated[str, Field(min_length=1)]
Temperature = Annotated[float, Field(gt=0, le=100)]
Value = TypeVar("Value")


def _count_or_share(value: float) -> float:
    """A whole number of images, or a share of them below one half."""
    if not (0 < value < 0.5 or (value >= 1 and value.is_integer())):
        raise PydanticCustomError("count_or_share", "should be a whole number of images, or a share below 0.5")
    return value


def _count_or_auto(value: object) -> object:
    if value != "auto" and not (type(value) is int and 1 <= value <= 1024):
        raise PydanticCustomError("count_or_auto", "should be 'auto' or a whole number from 1 to 1024")
    return value


def _two_images_each(shards: int, info: ValidationInfo) -> int:
    if 2 * shards > info.data.get("batch_size", 2 * shards):
        raise PydanticCustomError("two_images_each", "should be at most half of batch_size: BatchNorm needs two images")
    return shards


class Strict(BaseModel):
    """A section of params.yaml: no unknown keys, no conversions, no NaN, read-only."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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
    batch_size: Annotated[int, Field(ge=2, le=65_536)]  # BatchNorm needs two images where features are 1x1
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
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{8,64})?$")]


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
        return plugin_config(TrainConfig, {**self.train.model_dump(), **changes}, f"params.yaml: recipes.{name}")


def load(path: Path = Path("params.yaml")) -> Params:
    """The checked parameters. Raises UserError: one line that names each wrong key and what is allowed there."""
    content = _read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no parameters; expected the keys {', '.join(Params.model_fields)}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        # A misspelled key comes before the one that is missing because of it.
        wrong = sorted(error.errors(), key=lambda one: one["type"] == "missing")
        raise UserError(f"{path}: {'; '.join(_explain(one, Params) for one in wrong)}") from None
    choices: dict[str, Mapping[str, Any]] = {
        "loss": params.losses,
        "dataset": params.datasets,
        "large_dataset": params.datasets,
    }
    for key, allowed in choices.items():
        if getattr(params, key) not in allowed:
            raise UserError(f"{path}: {key}: should be {_one_of(allowed)}, not {_shown(getattr(params, key))}")
    return params


def check(path: Path = Path("params.yaml")) -> None:
    """Check params.yaml against the files and the rows that it names. Raises UserError as `load` does."""
    params = load(path)
    for section in ENTRY_POINTS:
        for name in getattr(params, section):
            module = plugin(section, name)
            if section != "datasets":
                plugin_config(module.Config, getattr(params, section)[name], f"{path}: {section}.{name}")
    models = {row: columns["model"] for row, columns in colorizers().items()}
    for name in params.recipes:
        params.recipe(name)
    if taken := sorted(models.keys() & set(CONTROLS)):
        raise UserError(f"{PIPELINE}: a colorizer cannot be called {taken[0]}: the pretext task has an encoder of that name")
    if params.pretext.model not in params.models:
        raise UserError(f"{path}: pretext.model: should be {_one_of(params.models)}, not {_shown(params.pretext.model)}")
    of_model = [row for row, model in models.items() if model == params.pretext.model]
    for init in params.pretext.inits:
        if init not in (*of_model, *CONTROLS):
            allowed = _one_of(dict.fromkeys((*of_model, *CONTROLS)))
            raise UserError(
                f"{path}: pretext.inits: should be of {allowed}, with the pretext.model {params.pretext.model}, not "
                f"{_shown(init)}"
            )
    for name, settings in params.datasets.items():
        if hasattr(module := plugin("datasets", name), "check_source"):
            module.check_source(f"{path}: datasets.{name}.source", settings.source)


def plugin(section: str, name: str) -> ModuleType:
    """The module of a data set, a model, a loss or a task. Raises UserError where there is no such file."""
    folder, entry_point = ENTRY_POINTS[section]
    try:
        module = importlib.import_module(f"colorpipe.{folder}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"colorpipe.{folder}.{name}":
            raise
        module = ModuleType(name)
    if not hasattr(module, entry_point):
        raise UserError(
            f"params.yaml: {section}.{_shown(name)}: no colorpipe/{folder}/{one_line(name)}.py defines `{entry_point}`"
        )
    return module


Section = TypeVar("Section", bound=Strict)


def plugin_config(config: type[Section], settings: Mapping[str, Any], where: str) -> Section:
    """The checked settings of a model, a loss, a task or a recipe. Raises UserError, in which `where` names the section."""
    try:
        return config.model_validate(settings)
    except ValidationError as error:
        raise UserError("; ".join(f"{where}.{_explain(one, config)}" for one in error.errors())) from None


def colorizers() -> dict[str, dict[str, str]]:
    """The table of colorizers in dvc.yaml: each row's name and columns, before DVC fills in params.yaml's values."""
    content = _read_yaml(PIPELINE)
    try:
        table = content["stages"]["train"]["foreach"]
        return {str(name): {**row, "model": row["model"]} for name, row in table.items()}  # each names a model
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{PIPELINE} has no table of colorizers, stages.train.foreach ({one_line(error)})") from None


def baseline(data: str, loss: str) -> str:
    """The row of dvc.yaml's baselines for a data set and a loss, named as in the table of colorizers."""
    table: dict[str, dict[str, str]] = _read_yaml(PIPELINE)["stages"]["baseline"]["foreach"]
    return next(name for name, row in table.items() if (row["data"], row["loss"]) == (data, loss))


def parse(text: str) -> Any:
    """Parse YAML as DVC does (YAML 1.2): 010 is ten, 1e-05 is a number, "no" is a word, duplicate keys are errors."""
    with warnings.catch_warnings(action="ignore"):  # about an anchor that is defined again
        return YAML(typ="safe", pure=True).load(text)  # its parser in C has other messages


def _read_yaml(path: Path) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing here: run from the project's root") from None
    except OSError:
        raise
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply") from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path} is not valid YAML{line}: {one_line(error.problem)}") from None
    except Exception as error:  # bytes that are not text, tags with values that do not fit
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from None


def _named(section: Mapping[str, Value], key: str, name: str) -> Value:
    if name not in section:
        raise UserError(f"params.yaml has no {key}.{name}; it has {', '.join(section)}")
    return section[name]


def _explain(error: Mapping[str, Any], root: type[BaseModel]) -> str:
    """One of pydantic's errors as `key: what is wrong`."""
    *parents, last = error["loc"] or ("?",)
    key = ".".join(map(str, [*parents, last])).encode("unicode_escape").decode()
    found = _shown(error["input"])
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_fields(root, parents)) or 'none'}"
    if error["type"] == "invalid_key" or last == "[key]" or not error["loc"]:
        return f"{key}: is not a parameter's name"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] in ("model_type", "dict_type"):
        keys = ", ".join(_fields(root, error["loc"]))
        return f"{key}: should be a section{f' with the keys {keys}' if keys else ''}, not {found}"
    if error["type"] in ("string_too_short", "too_short"):
        return f"{key}: should not be empty"
    message = error["msg"].removeprefix("Input ").replace("valid integer", "whole number")
    if error["type"] == "string_pattern_mismatch":
        message = "should be an md5 of 32 lowercase hexadecimal digits, or '' for no check"
        if last == "sha256":
            message = "should be a sha256, or its first 8 or more lowercase hexadecimal digits, or '' for no check"
    return f"{key}: {message}, not {found}"


def _one_of(names: Mapping[str, Any]) -> str:
    return " or ".join(filter(None, (", ".join(map(repr, list(names)[:-1])), repr(list(names)[-1]) if names else "")))


def _shown(value: object) -> str:
    """A value in at most about MAX_VALUE_LENGTH characters; never fully expanded: a short file can hold an endless one."""
    if isinstance(value, str):
        value = value[: MAX_VALUE_LENGTH + 1]
    text = reprlib.repr(value) if isinstance(value, dict | list | set | tuple) else repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."


def _fields(root: type[BaseModel], parents: Sequence[str | int]) -> list[str]:
    """The keys that are allowed in the section at `parents`; none where any name is."""
    section: Any = root
    for name in parents:
        fields = getattr(section, "model_fields", None)
        section = fields[name].annotation if fields else get_args(section)[1]
    return list(getattr(section, "model_fields", ()))
