"""Checks of params.yaml and of the table of colorizers against each other."""

import re
from collections.abc import Mapping
from types import ModuleType

import torch

from colorpipe.config.loading import PARAMS, load_params, load_plugin, require_one_of
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
    for name in params.datasets:
        load_plugin("datasets", name)
    for name, values in params.losses.items():
        module = load_plugin("losses", name)
        validate_section(module.Config, values, f"{PARAMS}: losses.{name}")
    for name, values in params.models.items():
        module = load_plugin("models", name)
        settings = validate_section(module.Config, values, f"{PARAMS}: models.{name}")
        _build_without_weights(module, settings)
    colorizers = load_colorizers()
    for name, entry in colorizers.items():
        _check_colorizer(name, entry, params)
    models = {name: entry["model"] for name, entry in colorizers.items()}
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


def _check_colorizer(name: str, entry: Mapping[str, str], params: Params) -> None:
    key = f"{PIPELINE}: {name}"
    if name in RESERVED or not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"{PIPELINE}: a colorizer cannot be called {format_value(name)}: use letters, digits, "
            f"'_', '-' and '.', and none of {', '.join(sorted(RESERVED))}"
        )
    require_one_of(f"{key}: model", entry["model"], params.models)
    if not entry["loss"].startswith("${"):
        require_one_of(f"{key}: loss", entry["loss"], params.losses)
    # The download and split stages prepare only these two data sets.
    require_one_of(f"{key}: data", entry["data"], ["${dataset}", "${large_dataset}"])
    recipes = ["train", *(f"recipes.{recipe}" for recipe in params.recipes)]
    require_one_of(f"{key}: recipe", entry["recipe"], recipes)
    recipe = params.recipe(entry["recipe"])
    step = "adversarial" if recipe.adversarial else "colorization"
    if entry["step"] != step:
        raise UserError(
            f"{key}: the recipe {entry['recipe']} needs the step {step}, got "
            f"{format_value(entry['step'])}"
        )
    if 2 * params.processes > recipe.batch_size:
        raise UserError(
            f"{PARAMS}: processes: input should be at most {recipe.batch_size // 2}, because "
            f"BatchNorm needs two images in each process, and {entry['recipe']}.batch_size is "
            f"{recipe.batch_size}; got {params.processes}"
        )


def _check_pretext(models: Mapping[str, str], params: Params) -> None:
    """Check the settings of the pretext task against the models of the colorizers."""
    model = params.pretext.model
    require_one_of(f"{PARAMS}: pretext.model", model, params.models)
    encoders = [name for name in models if models[name] == model]
    start = params.data(params.dataset).start
    for init in params.pretext.inits:
        require_one_of(f"{PARAMS}: pretext.inits", init, [*encoders, *REFERENCE_ENCODERS])
        if init == "imagenet" and (start != "imagenet" or model not in params.imagenet):
            raise UserError(
                f"{PARAMS}: pretext.inits: imagenet needs ImageNet weights: set "
                f"datasets.{params.dataset}.start to imagenet, with weights of {model} in the "
                "section imagenet, or leave imagenet out"
            )


def _check_datasets(params: Params) -> None:
    for name, settings in params.datasets.items():
        if settings.toned and name != "folder":
            raise UserError(f"{PARAMS}: datasets.{name}.toned: only the data set folder has it")
    for name in (params.dataset, params.large_dataset):  # other sources need not exist
        if hasattr(module := load_plugin("datasets", name), "check_source"):
            module.check_source(f"{PARAMS}: datasets.{name}", params.datasets[name])
