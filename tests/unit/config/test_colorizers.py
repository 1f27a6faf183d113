"""The table of colorizers in dvc.yaml, which is checked against params.yaml."""

import shutil
from pathlib import Path

import pytest
from project import ROOT

from colorpipe import config, files
from colorpipe.config.checks import check_params
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from stages import check

TABLE = """stages:
  train:
    foreach:
      small: {model: unet, data: "${dataset}", loss: "${loss}", recipe: recipes.refined,
              step: colorization, start: data/photos/weights/unet}
      other: COLORIZER
  baseline:
    foreach:
      gray: {data: photos}
"""
COLORIZER = {
    "model": "resnet18",
    "data": "${dataset}",
    "loss": "l1",
    "recipe": "train",
    "step": "colorization",
    "start": "data/photos/weights/resnet18",
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    """Work in a folder with the project's params.yaml and only one init of the pretext task."""
    params = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("[resnet, xavier]", "[xavier]"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_table(colorizer: dict[str, str]) -> None:
    columns = ", ".join(f'{key}: "{value}"' for key, value in colorizer.items())
    Path("dvc.yaml").write_text(TABLE.replace("COLORIZER", f"{{{columns}}}"))


def test_the_names_of_used_models_losses_and_colorizers_are_returned():
    write_table(COLORIZER)
    names = check_params()
    assert names.pop("models") == ["resnet18", "unet"]
    assert {"mse", "l1", "lpips", "color_classification"} <= set(names.pop("losses"))
    assert names == {"colorizers": ["small", "other"], "baselines": ["gray"]}
    check.main()
    assert files.read_json(files.NAMES) == check_params()


def test_the_projects_own_table_passes():
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    names = check_params()
    table = config.load_colorizers()
    assert names["colorizers"] == list(table)
    assert {"resnet", "unet", "unet_rebalanced", "unet_gan"} <= table.keys()
    assert table["unet_gan"]["step"] == "adversarial"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": "resnet50"},
            "dvc.yaml: other: model: input should be 'resnet18', 'densenet121', 'eccv16', "
            "'unet' or 'timm_unet', got 'resnet50'",
        ),
        (
            {"loss": "classification"},
            "dvc.yaml: other: loss: input should be 'mse', 'l1', 'lpips' or "
            "'color_classification', got 'classification'",
        ),
        (
            {"recipe": "recipes.fast"},
            "dvc.yaml: other: recipe: input should be 'train', 'recipes.refined', "
            "'recipes.finetuned' or 'recipes.adversarial', got 'recipes.fast'",
        ),
        (
            {"recipe": "refined"},  # DVC reads it as a key of params.yaml
            "dvc.yaml: other: recipe: input should be 'train', 'recipes.refined', "
            "'recipes.finetuned' or 'recipes.adversarial', got 'refined'",
        ),
        (
            {"step": "adversarial"},
            "dvc.yaml: other: the recipe train needs the step colorization, got 'adversarial'",
        ),
        (
            {"recipe": "recipes.adversarial"},
            "dvc.yaml: other: the recipe recipes.adversarial needs the step adversarial, got "
            "'colorization'",
        ),
        (
            {"data": "cifar10"},
            "dvc.yaml: other: data: input should be '${dataset}' or '${large_dataset}', got "
            "'cifar10'",
        ),
        (
            {"step": "gan"},
            "dvc.yaml: other: the recipe train needs the step colorization, got 'gan'",
        ),
    ],
)
def test_a_wrong_colorizer_is_named_in_one_line(changes, message):
    write_table({**COLORIZER, **changes})
    with pytest.raises(SystemExit) as raised:
        run_main(check.main)
    assert raised.value.code == f"error: {message}"
    assert not files.NAMES.exists()


@pytest.mark.parametrize("missing", COLORIZER)
def test_a_missing_key_is_named(missing):
    write_table({key: value for key, value in COLORIZER.items() if key != missing})
    with pytest.raises(UserError, match=rf"^dvc\.yaml: other lacks {missing}$"):
        check_params()


@pytest.mark.parametrize(
    "name", ["imagenet", "original", "bundled", "baseline", "pretext", "a b", "../x"]
)
def test_a_reserved_or_invalid_name_is_refused(name):
    write_table(COLORIZER)
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text().replace("other:", f'"{name}":'))
    with pytest.raises(UserError, match=rf"^dvc\.yaml: a colorizer cannot be called '{name}': "):
        check_params()


def test_a_recipe_is_found_by_its_path():
    params = config.load_params()
    assert params.recipe("train") is params.train
    assert params.recipe("recipes.refined") is params.recipes["refined"]
    assert params.recipe("recipes.adversarial").adversarial.loss_weight == 0.4
    for path in ("refined", "recipes", "recipes.train", "recipes.recipes.refined"):
        with pytest.raises(UserError, match=rf"^params\.yaml has no {path}; it has train, recipes"):
            params.recipe(path)
