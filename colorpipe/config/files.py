"""params.yaml and dvc.yaml as files, read as DVC reads them, and dvc.yaml's tables of rows."""

import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from colorpipe.runtime.errors import UserError, one_line

PIPELINE = Path("dvc.yaml")


def colorizers() -> dict[str, dict[str, str]]:
    """The table of colorizers in dvc.yaml: each row's name and columns, before DVC fills in params.yaml's values."""
    content = read_yaml(PIPELINE)
    try:
        table = content["stages"]["train"]["foreach"]
        return {
            str(name): {**row, "model": row["model"]} for name, row in table.items()
        }  # each names a model
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{PIPELINE} has no table of colorizers, stages.train.foreach ({one_line(error)})"
        ) from None


def parse(text: str) -> Any:
    """Parse YAML as DVC does (YAML 1.2): 010 is ten, 1e-05 is a number, "no" is a word, duplicate keys are errors."""
    with warnings.catch_warnings(action="ignore"):  # about an anchor that is defined again
        return YAML(typ="safe", pure=True).load(text)  # its parser in C has other messages


def read_yaml(path: Path) -> Any:
    """The content of a file. Raises UserError where it is missing or no valid YAML: one line with the line's number."""
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
