"""Loading and checking params.yaml, and loading the modules that it names."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from colorpipe.config.schema import REFERENCE_ENCODERS, Params
from colorpipe.config.strict import format_errors, format_value, join_names, validate_section
from colorpipe.config.yaml_files import (
    PIPELINE,
    load_baselines,
    load_colorizers,
    read_yaml,
)
from colorpipe.runtime.errors import UserError, one_line

# The package with a module for each entry of a section. Each module defines `build`.
PACKAGES = {"datasets": "data", "models": "models", "losses": "losses"}


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Return the checked parameters.

    Raises:
        UserError: A key or a value is wrong. The message is one line that names each wrong key.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        keys = ", ".join(Params.model_fields)
        raise UserError(f"{path} holds no parameters; expected the keys {keys}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise UserError(format_errors(error, f"{path}: ")) from None
    choices: dict[str, Mapping[str, Any]] = {
        "loss": params.losses,
        "dataset": params.datasets,
        "large_dataset": params.datasets,
    }
    for key, allowed in choices.items():
        _require_one_of(f"{path}: {key}", getattr(params, key), allowed)
    return params


def check_params(path: Path = Path("params.yaml")) -> dict[str, list[str]]:
    """Check params.yaml and the table of colorizers against each other and against the modules.

    Returns:
        The names of the models in use, the losses, the colorizers and the gray baselines.

    Raises:
        UserError: As `load_params`, and if params.yaml names something that does not exist.
    """
    params = load_params(path)
    for section in PACKAGES:
        for name in getattr(params, section):
            module = load_plugin(section, name)
            if section != "datasets":
                settings = getattr(params, section)[name]
                validate_section(module.Config, settings, f"{path}: {section}.{name}")
    colorizers = load_colorizers()
    for name, columns in colorizers.items():
        key = f"{PIPELINE}: {name}"
        _require_one_of(f"{key}: model", columns["model"], params.models)
        for column, allowed in (("loss", params.losses), ("data", params.datasets)):
            if not columns[column].startswith("${"):
                _require_one_of(f"{key}: {column}", columns[column], allowed)
        recipes = ["train", *(f"recipes.{recipe}" for recipe in params.recipes)]
        _require_one_of(f"{key}: recipe", columns["recipe"], recipes)
        step = "adversarial" if params.recipe(columns["recipe"]).adversarial else "colorization"
        if columns["step"] != step:
            raise UserError(
                f"{key}: the recipe {columns['recipe']} needs the step {step}, got "
                f"{format_value(columns['step'])}"
            )
        batch_size = params.recipe(columns["recipe"]).batch_size
        if 2 * params.processes > batch_size:
            raise UserError(
                f"{path}: processes: input should be at most {batch_size // 2}, because BatchNorm "
                f"needs two images in each process, and {columns['recipe']}.batch_size is "
                f"{batch_size}; got {params.processes}"
            )
    models = {name: columns["model"] for name, columns in colorizers.items()}
    if taken := sorted(models.keys() & set(REFERENCE_ENCODERS)):
        raise UserError(
            f"{PIPELINE}: a colorizer cannot be called {taken[0]}: the pretext task has a "
            "reference encoder of that name"
        )
    pretext = params.pretext
    _require_one_of(f"{path}: pretext.model", pretext.model, params.models)
    encoders = [name for name, model in models.items() if model == pretext.model]
    for init in pretext.inits:
        _require_one_of(f"{path}: pretext.inits", init, [*encoders, *REFERENCE_ENCODERS])
    for name in params.imagenet:
        _require_one_of(f"{path}: imagenet", name, [*params.models, *params.losses])
    for name, settings in params.datasets.items():
        if settings.toned and name != "folder":
            raise UserError(f"{path}: datasets.{name}.toned: only the data set folder has it")
    for name in (params.dataset, params.large_dataset):  # other sources need not exist
        if hasattr(module := load_plugin("datasets", name), "check_source"):
            module.check_source(f"{path}: datasets.{name}", params.datasets[name])
    used = {*models.values(), pretext.model}  # the download stage finds the weights of these alone
    return {
        "models": [name for name in params.models if name in used],
        "losses": list(params.losses),
        "colorizers": list(colorizers),
        "baselines": load_baselines(),
    }


def load_plugin(section: str, name: str) -> ModuleType:
    """Import the module of a data set, a model or a loss.

    Raises:
        UserError: There is no such module.
    """
    package = PACKAGES[section]
    try:
        module = importlib.import_module(f"colorpipe.{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"colorpipe.{package}.{name}":
            raise
        module = ModuleType(name)
    if not hasattr(module, "build"):
        path = f"colorpipe/{package}/{one_line(name)}.py"
        raise UserError(f"params.yaml: {section}.{format_value(name)}: no {path} defines `build`")
    return module


def _require_one_of(key: str, value: str, allowed: Mapping[str, Any] | list[str]) -> None:
    if value not in allowed:
        names = join_names(dict.fromkeys(allowed))
        raise UserError(f"{key}: input should be {names}, got {format_value(value)}")
