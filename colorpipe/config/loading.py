"""Loading params.yaml, and the modules that it names."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from colorpipe.config.schema import Params
from colorpipe.config.strict import format_errors, format_value, join_names
from colorpipe.config.yaml_files import read_yaml
from colorpipe.runtime.errors import UserError, one_line

PARAMS = Path("params.yaml")
# The package with a module for each entry of a section. Each module defines `build`.
PACKAGES = {"datasets": "data", "models": "models", "losses": "losses"}


def load_params(path: Path = PARAMS) -> Params:
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
    require_one_of(f"{path}: loss", params.loss, params.losses)
    require_one_of(f"{path}: dataset", params.dataset, params.datasets)
    require_one_of(f"{path}: large_dataset", params.large_dataset, params.datasets)
    return params


def load_plugin(section: str, name: str) -> ModuleType:
    """Import the module of a data set, a model or a loss.

    Raises:
        UserError: There is no such module.
    """
    package = PACKAGES[section]
    path = f"colorpipe.{package}.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if not f"{path}.".startswith(f"{error.name}."):  # a package that the module imports
            raise
        module = ModuleType(name)
    if not hasattr(module, "build"):
        path = f"colorpipe/{package}/{one_line(name)}.py"
        raise UserError(
            f"{PARAMS}: {section}.{format_value(name)}: {path} is missing or has no function "
            "`build`: add it, or remove the section"
        )
    return module


def require_one_of(key: str, value: str, allowed: Mapping[str, Any] | list[str]) -> None:
    """Raise UserError if the value of a key is not one of the allowed names."""
    if value not in allowed:
        names = join_names(dict.fromkeys(allowed))
        raise UserError(f"{key}: input should be {names}, got {format_value(value)}")
