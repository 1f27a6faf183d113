"""The base class of the sections of params.yaml, and pydantic's errors as one line."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from colorpipe.runtime.errors import UserError

MAX_VALUE_LENGTH = 80  # characters of a wrong value in a message


class Strict(BaseModel):
    """A section of params.yaml: read-only, without unknown keys, conversions and NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Section = TypeVar("Section", bound=Strict)


def validate_section(config: type[Section], settings: Mapping[str, Any], where: str) -> Section:
    """Check the settings of a model or a loss.

    Raises:
        UserError: A setting is wrong. The message begins with `where`.
    """
    try:
        return config.model_validate(settings)
    except ValidationError as error:
        raise UserError(format_errors(error, f"{where}.")) from None


def format_errors(error: ValidationError, prefix: str) -> str:
    """Return pydantic's messages as one line: `train.lr: input should be greater than 0, got 0`."""
    # A misspelled key comes before the key that is missing because of it.
    details = sorted(error.errors(), key=lambda detail: detail["type"] == "missing")
    return "; ".join(f"{prefix}{_format_error(detail)}" for detail in details)


def _format_error(detail: Mapping[str, Any]) -> str:
    key = ".".join(map(str, detail["loc"])).encode("unicode_escape").decode()
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    if detail["type"] == "missing":  # the input is the whole section
        return f"{key}: {message}"
    return f"{key}: {message}, got {format_value(detail['input'])}"


def join_names(names: Iterable[str]) -> str:
    """Return names as `'a', 'b' or 'c'`."""
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def format_value(value: object) -> str:
    """Return a value as text of about MAX_VALUE_LENGTH characters at most.

    A nested value is never expanded as a whole, because a short YAML file can hold an endless one.
    """
    if isinstance(value, str):
        value = value[: MAX_VALUE_LENGTH + 1]
    text = reprlib.repr(value) if isinstance(value, dict | list | set | tuple) else repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."
