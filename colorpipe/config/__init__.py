"""params.yaml, loaded and checked strictly.

An unknown key, a wrong type, a value out of range or an unknown name is an error.

The sections `datasets`, `models` and `losses` name the modules of colorpipe/data, models and
losses. The class `Config` in the module of a model or a loss defines its section.

The check stage also imports `config.checks`. No training run imports that module, so a change to it
does not retrain the colorizers.
"""

from colorpipe.config.loading import load_params, load_plugin
from colorpipe.config.schema import (
    REFERENCE_ENCODERS,
    AdversarialConfig,
    DatasetConfig,
    EvaluationConfig,
    ImageNetConfig,
    Params,
    PretextConfig,
    PretextRun,
    TrainConfig,
)
from colorpipe.config.strict import Strict, validate_section
from colorpipe.config.yaml_files import load_colorizers, parse_yaml

__all__ = [
    "REFERENCE_ENCODERS",
    "AdversarialConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "ImageNetConfig",
    "Params",
    "PretextConfig",
    "PretextRun",
    "Strict",
    "TrainConfig",
    "load_colorizers",
    "load_params",
    "load_plugin",
    "parse_yaml",
    "validate_section",
]
