"""params.yaml and dvc.yaml as files, read as DVC reads them."""

import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from colorpipe.runtime.errors import UserError, one_line

PIPELINE = Path("dvc.yaml")
ENTRY_KEYS = ("model", "data", "loss", "recipe", "step", "start")


def load_colorizers() -> dict[str, dict[str, str]]:
    """Return the table of colorizers in dvc.yaml: the entry of each colorizer by name.

    DVC's expressions, such as ${dataset}, are not replaced.

    Raises:
        UserError: There is no such table, or an entry lacks a key.
    """
    try:
        table = {
            str(name): dict(entry) for name, entry in _load_stages()["train"]["foreach"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{PIPELINE} has no table of colorizers under stages.train.foreach ({one_line(error)})"
        ) from None
    for name, entry in table.items():
        if missing := [key for key in ENTRY_KEYS if key not in entry]:
            raise UserError(f"{PIPELINE}: {name} lacks {', '.join(missing)}")
    return {name: {key: str(entry[key]) for key in ENTRY_KEYS} for name, entry in table.items()}


def load_baselines() -> list[str]:
    """Return the names of the gray baselines in dvc.yaml."""
    try:
        return list(map(str, _load_stages()["baseline"]["foreach"]))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{PIPELINE} has no table under stages.baseline.foreach ({one_line(error)})"
        ) from None


def _load_stages() -> Any:
    return read_yaml(PIPELINE)["stages"]


def parse_yaml(text: str) -> Any:
    """Parse YAML 1.2, as DVC does.

    Unlike in YAML 1.1, 010 is ten, 1e-05 is a number and "no" is a string. Duplicate keys are
    errors.
    """
    with warnings.catch_warnings(action="ignore"):  # about anchors that are defined twice
        return YAML(typ="safe", pure=True).load(text)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        UserError: The file is missing or is not valid YAML. The message names the line.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing here: run from the project's root") from None
    except OSError:
        raise
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply") from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path} is not valid YAML{line}: {one_line(error.problem)}") from None
    except Exception as error:  # bytes that are not text, or tags with values that do not fit
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from None
