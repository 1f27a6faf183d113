"""params.yaml, loaded once, strictly: an unknown key, a wrong type, a value out of range or an unknown name stops.

The meaning and unit of each parameter stand in params.yaml; here is what is allowed.
"""

import reprlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from colorpipe.errors import UserError, one_line

DataSetName = Literal["photos", "photos96", "cifar10", "stl10", "folder"]
ModelName = Literal["resnet18", "densenet121", "eccv16"]
SHOWN = 80  # characters of a value that is wrong
Text = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataSet(Strict):
    source: Text
    md5: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    size: Annotated[int, Field(ge=16, le=1024)]
    val_size: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    pretrained: bool
    lpips_weights: Literal["imagenet", "random"]


class DataSets(Strict):
    photos: DataSet
    photos96: DataSet
    cifar10: DataSet
    stl10: DataSet
    folder: DataSet

    def get(self, name: str) -> DataSet:
        """The settings of the data set called so. Raises UserError for an unknown name."""
        return _by_name(self, "datasets", name)


class ResNet18(Strict):
    cut: Literal["layer1", "layer2", "layer3", "layer4"]


class DenseNet121(Strict):
    cut: Literal["denseblock1", "denseblock2", "denseblock3", "denseblock4"]


class ECCV16(Strict):
    colours: Annotated[int, Field(ge=2, le=10_000)]


class Models(Strict):
    resnet18: ResNet18
    densenet121: DenseNet121
    eccv16: ECCV16

    def get(self, name: str) -> dict[str, object]:
        """The settings of the architecture called so, as its `build` takes them. Raises UserError for an unknown name."""
        return _by_name(self, "models", name).model_dump()


class Train(Strict):
    lr: Annotated[float, Field(gt=0, le=1)]
    batch_size: Annotated[int, Field(ge=2, le=65_536)]  # BatchNorm needs two, where a network ends at 1x1 pixel
    precision: Literal["bfloat16", "float32"]
    compile: bool


class LPIPS(Strict):
    random_seed: Annotated[int, Field(ge=0, lt=2**32)]


class Pretext(Strict):
    colorizer: Text
    model: ModelName


class ImageNetWeights(Strict):
    source: Text
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{8,64})?$")]


class ImageNet(Strict):
    resnet18: ImageNetWeights
    densenet121: ImageNetWeights
    vgg16: ImageNetWeights


class Params(Strict):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    loss: Literal["mse", "lpips"]
    dataset: DataSetName
    large_dataset: DataSetName
    datasets: DataSets
    models: Models
    train: Train
    lpips: LPIPS
    pretext: Pretext
    imagenet: ImageNet


def load(path: Path = Path("params.yaml")) -> Params:
    """The checked parameters. Raises UserError: one line that names each wrong key and what is allowed there."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing here: run from the project's root") from None
    except OSError:
        raise
    except RecursionError:
        raise UserError(f"{path} is not valid YAML for parameters: it is nested without end") from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path} is not valid YAML{line}: {one_line(error.problem)}") from None
    except Exception as error:  # bytes that are no text, tags with values that they do not have
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no parameters; expected the keys {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        # A misspelt key comes before the one that is missing for it.
        wrong = sorted(error.errors(), key=lambda one: one["type"] == "missing")
        raise UserError(f"{path}: {'; '.join(map(_explain, wrong))}") from None


def parse(text: str) -> object:
    """YAML, read as DVC reads it: 010 is ten, 1e-05 is a number, "no" is a word, no key stands twice."""
    with warnings.catch_warnings(action="ignore"):  # of an anchor that is used again
        return YAML(typ="safe").load(text)


def _by_name(group: Strict, key: str, name: str) -> Strict:
    if name not in type(group).model_fields:
        raise UserError(f"params.yaml has no {key}.{name}; there are {', '.join(type(group).model_fields)}")
    return getattr(group, name)


def _explain(error: dict) -> str:
    """One of pydantic's errors as `key: what is wrong`."""
    *parents, last = error["loc"] or ("?",)
    key = ".".join(map(str, [*parents, last])).encode("unicode_escape").decode()
    found = _shown(error["input"])
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_fields(parents))}"
    if error["type"] == "invalid_key" or not error["loc"]:
        return f"{key}: is no name of a parameter"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "model_type":
        return f"{key}: should be a section with the keys {', '.join(_fields(error['loc']))}, not {found}"
    message = error["msg"].removeprefix("Input ").replace("valid integer", "whole number")
    if error["type"] == "string_pattern_mismatch":
        message = "should be an md5 of 32 lowercase hexadecimal digits, or '' for no check"
        if last == "sha256":
            message = "should be a sha256, or its first 8 or more lowercase hexadecimal digits, or '' for no check"
    return f"{key}: {message}, not {found}"


def _shown(value: object) -> str:
    """A value in at most about `SHOWN` characters; never written out in full, as a short file can hold an endless one."""
    if isinstance(value, str):
        value = value[: SHOWN + 1]
    text = reprlib.repr(value) if isinstance(value, dict | list | set | tuple) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _fields(parents: Iterable[str]) -> list[str]:
    model: type[BaseModel] = Params
    for name in parents:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
