"""params.yaml, loaded once and strictly: an unknown key, a wrong type, a value out of range or an unknown name stops.

The sections `datasets`, `models`, `losses` and `tasks` name the files of colorpipe/data, models, losses and tasks: a new
file and its section are enough. The `Config` in the file of a model, a loss or a task defines its section.
"""

from colorpipe.config.checks import check, load, plugin
from colorpipe.config.files import colorizers, parse
from colorpipe.config.schema import (
    REFERENCE_ENCODERS,
    DatasetConfig,
    ImageNetConfig,
    Params,
    PretextConfig,
    PretextRun,
    TrainConfig,
)
from colorpipe.config.section import Strict, plugin_config

__all__ = [
    "REFERENCE_ENCODERS",
    "DatasetConfig",
    "ImageNetConfig",
    "Params",
    "PretextConfig",
    "PretextRun",
    "Strict",
    "TrainConfig",
    "check",
    "colorizers",
    "load",
    "parse",
    "plugin",
    "plugin_config",
]
