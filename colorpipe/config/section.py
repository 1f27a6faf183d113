"""A section of params.yaml, and how what is wrong in one is told: its key, what is allowed there, what was found."""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from colorpipe.runtime.errors import UserError

MAX_VALUE_LENGTH = 80  # characters of a wrong value in a message


class Strict(BaseModel):
    """A section of params.yaml: no unknown keys, no conversions, no NaN, read-only."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Section = TypeVar("Section", bound=Strict)


def plugin_config(config: type[Section], settings: Mapping[str, Any], where: str) -> Section:
    """The checked settings of a model, a loss, a task or a recipe. Raises UserError, in which `where` names the section."""
    try:
        return config.model_validate(settings)
    except ValidationError as error:
        raise UserError(
            "; ".join(f"{where}.{explain(one, config)}" for one in error.errors())
        ) from None


def explain(error: Mapping[str, Any], root: type[BaseModel]) -> str:
    """One of pydantic's errors as `key: what is wrong`."""
    *parents, last = error["loc"] or ("?",)
    key = ".".join(map(str, [*parents, last])).encode("unicode_escape").decode()
    found = shown(error["input"])
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
        message = "should be an md5 of 32 lowercase hexadecimal digits"
        if last == "sha256":
            message = "should be a sha256, or its first 8 or more lowercase hexadecimal digits"
    return f"{key}: {message}, not {found}"


def one_of(names: Mapping[str, Any]) -> str:
    """The allowed names in words."""
    return " or ".join(
        filter(
            None, (", ".join(map(repr, list(names)[:-1])), repr(list(names)[-1]) if names else "")
        )
    )


def shown(value: object) -> str:
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
