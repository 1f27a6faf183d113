"""Checks of params.yaml and of the table of colorizers against each other."""

import re
from collections.abc import Mapping
from types import ModuleType

import torch

from colorpipe.config.loading import PACKAGES, PARAMS, load_params, load_plugin, require_one_of
from colorpipe.config.schema import REFERENCE_ENCODERS, Params
from colorpipe.config.strict import Strict, format_value, validate_section
from colorpipe.config.yaml_files import PIPELINE, load_baselines, load_colorizers
from colorpipe.runtime.errors import UserError

# Names that a colorizer cannot have, because models/, metrics/, the page or `--model` use them.
RESERVED = {*REFERENCE_ENCODERS, "baseline", "bundled", "gray", "original", "pretext"}


def check_params() -> dict[str, list[str]]:
    """Check params.yaml and the table of colorizers against each other and against the modules.

    Returns:
        The names of the models in use, the losses, the colorizers and the gray baselines.

    Raises:
        UserError: As `load_params`, and if params.yaml names something that does not exist.
    """
    params = load_params()
    for section in PACKAGES:
        for name in getattr(params, section):
            module = load_plugin(section, name)
            if section == "datasets":
                continue
            where = f"{PARAMS}: {section}.{name}"
            settings = validate_section(module.Config, getattr(params, section)[name], where)
            if section == "models":
                _build_without_weights(module, settings)
    colorizers = load_colorizers()
    for name, columns in colorizers.items():
        _check_colorizer(name, columns, params)
    models = {name: columns["model"] for name, columns in colorizers.items()}
    _check_pretext(models, params)
    for name in params.imagenet:
        require_one_of(f"{PARAMS}: imagenet", name, [*params.models, *params.losses])
    _check_datasets(params)
    # The download stage finds the weights of these models only.
    used = {*models.values(), params.pretext.model}
    return {
        "models": [name for name in params.models if name in used],
        "losses": list(params.losses),
        "colorizers": list(colorizers),
        "baselines": load_baselines(),
    }


def _build_without_weights(module: ModuleType, settings: Strict) -> None:
    """Build a model on the meta device, to check its settings against each other."""
    try:
        with torch.device("meta"):
            module.build(settings, "ab")
    except UserError as error:
        raise UserError(f"{PARAMS}: {error}") from None


def _check_colorizer(name: str, columns: Mapping[str, str], params: Params) -> None:
    key = f"{PIPELINE}: {name}"
    if name in RESERVED or not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"{PIPELINE}: a colorizer cannot be called {format_value(name)}: use letters, digits, "
            f"'_', '-' and '.', and none of {', '.join(sorted(RESERVED))}"
        )
    require_one_of(f"{key}: model", columns["model"], params.models)
    for column, allowed in (("loss", params.losses), ("data", params.datasets)):
        if not columns[column].startswith("${"):
            require_one_of(f"{key}: {column}", columns[column], allowed)
    recipes = ["train", *(f"recipes.{recipe}" for recipe in params.recipes)]
    require_one_of(f"{key}: recipe", columns["recipe"], recipes)
    recipe = params.recipe(columns["recipe"])
    step = "adversarial" if recipe.adversarial else "colorization"
    if columns["step"] != step:
        raise UserError(
            f"{key}: the recipe {columns['recipe']} needs the step {step}, got "
            f"{format_value(columns['step'])}"
        )
    if 2 * params.processes > recipe.batch_size:
        raise UserError(
            f"{PARAMS}: processes: input should be at most {recipe.batch_size // 2}, because "
            f"BatchNorm needs two images in each process, and {columns['recipe']}.batch_size is "
            f"{recipe.batch_size}; got {params.processes}"
        )


def _check_pretext(models: Mapping[str, str], params: Params) -> None:
    """Check the settings of the pretext task against the models of the colorizers."""
    model = params.pretext.model
    require_one_of(f"{PARAMS}: pretext.model", model, params.models)
    encoders = [name for name in models if models[name] == model]
    for init in params.pretext.inits:
        require_one_of(f"{PARAMS}: pretext.inits", init, [*encoders, *REFERENCE_ENCODERS])


def _check_datasets(params: Params) -> None:
    for name, settings in params.datasets.items():
        if settings.toned and name != "folder":
            raise UserError(f"{PARAMS}: datasets.{name}.toned: only the data set folder has it")
    for name in (params.dataset, params.large_dataset):  # other sources need not exist
        if hasattr(module := load_plugin("datasets", name), "check_source"):
            module.check_source(f"{PARAMS}: datasets.{name}", params.datasets[name])
