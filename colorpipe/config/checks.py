"""Reading and checking params.yaml, and the modules that it names."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from colorpipe.config.files import PIPELINE, colorizers, read_yaml
from colorpipe.config.schema import REFERENCE_ENCODERS, Params
from colorpipe.config.section import explain, one_of, plugin_config, shown
from colorpipe.runtime.errors import UserError, one_line

ENTRY_POINTS = {
    "datasets": ("data", "read"),
    "models": ("models", "build"),
    "losses": ("losses", "build"),
    "tasks": ("training", "train"),
}


def load(path: Path = Path("params.yaml")) -> Params:
    """The checked parameters. Raises UserError: one line that names each wrong key and what is allowed there."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds no parameters; expected the keys {', '.join(Params.model_fields)}"
        )
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        # A misspelled key comes before the one that is missing because of it.
        wrong = sorted(error.errors(), key=lambda one: one["type"] == "missing")
        raise UserError(f"{path}: {'; '.join(explain(one, Params) for one in wrong)}") from None
    choices: dict[str, Mapping[str, Any]] = {
        "loss": params.losses,
        "dataset": params.datasets,
        "large_dataset": params.datasets,
    }
    for key, allowed in choices.items():
        if getattr(params, key) not in allowed:
            raise UserError(
                f"{path}: {key}: should be {one_of(allowed)}, not {shown(getattr(params, key))}"
            )
    return params


def check(path: Path = Path("params.yaml")) -> None:
    """Check params.yaml against the files and the rows that it names. Raises UserError as `load` does."""
    params = load(path)
    for section in ENTRY_POINTS:
        for name in getattr(params, section):
            module = plugin(section, name)
            if section != "datasets":
                plugin_config(
                    module.Config, getattr(params, section)[name], f"{path}: {section}.{name}"
                )
    models = {row: columns["model"] for row, columns in colorizers().items()}
    for name in params.recipes:
        params.recipe(name)
    if taken := sorted(models.keys() & set(REFERENCE_ENCODERS)):
        raise UserError(
            f"{PIPELINE}: a colorizer cannot be called {taken[0]}: the pretext task has an encoder of that name"
        )
    if params.pretext.model not in params.models:
        raise UserError(
            f"{path}: pretext.model: should be {one_of(params.models)}, not {shown(params.pretext.model)}"
        )
    of_model = [row for row, model in models.items() if model == params.pretext.model]
    for init in params.pretext.inits:
        if init not in (*of_model, *REFERENCE_ENCODERS):
            allowed = one_of(dict.fromkeys((*of_model, *REFERENCE_ENCODERS)))
            raise UserError(
                f"{path}: pretext.inits: should be of {allowed}, with the pretext.model {params.pretext.model}, not "
                f"{shown(init)}"
            )
    for name in (params.dataset, params.large_dataset):  # the sources of others need not exist
        if hasattr(module := plugin("datasets", name), "check_source"):
            module.check_source(f"{path}: datasets.{name}", params.datasets[name])


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
            f"params.yaml: {section}.{shown(name)}: no colorpipe/{folder}/{one_line(name)}.py defines `{entry_point}`"
        )
    return module
