"""Optimizers, schedules and the weight average, compared with computations by hand."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from colorpipe import config
from colorpipe.losses.mse import MSE
from colorpipe.models.loading import build_colorizer
from colorpipe.training import optim
from colorpipe.training.batches import batch_starts
from colorpipe.training.colorization import ColorizationTask
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import AVERAGE, MODEL

CPU = torch.device("cpu")


def test_the_weight_average_follows_its_formula():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    averaged = optim.WeightAverage(model, 0.9)
    expected = None
    for step in range(200):
        with torch.no_grad():
            model[0].weight.copy_(torch.randn_like(model[0].weight))
            model(torch.randn(4, 1, 3, 3))
        averaged.update(model)
        decay = min(0.9, (1 + step) / (10 + step))
        now = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if expected is None:
            expected = now
        for name in ("0.weight", "1.running_mean", "1.running_var"):
            expected[name] = decay * expected[name] + (1 - decay) * now[name]
    for name in ("0.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(averaged.module.state_dict()[name], expected[name])
    assert averaged.module[1].num_batches_tracked == 200


def rates(name: str, steps: int) -> list[float]:
    model = nn.Linear(1, 1)
    optimizer = optim.build_optimizer(model, "adamw", 0.01)
    schedule = optim.build_schedule(optimizer, name, steps)
    learning_rates = []
    for _ in range(steps):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return learning_rates


def test_the_learning_rates_follow_the_schedules():
    cosine = rates("cosine", 10)
    assert cosine == pytest.approx(
        [0.01 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    )
    cycle = rates("one_cycle", 100)
    peak = cycle.index(max(cycle))
    assert (peak, cycle[peak]) == (29, pytest.approx(0.01))
    assert cycle[0] == pytest.approx(0.01 / 25)
    assert cycle[-1] == pytest.approx(0.01 / 25 / 1e4, rel=0.01)
    assert sorted(cycle[: peak + 1]) == cycle[: peak + 1]
    assert sorted(cycle[peak:], reverse=True) == cycle[peak:]
    assert (
        optim.build_schedule(optim.build_optimizer(nn.Linear(1, 1), "adam", 0.01), "constant", 10)
        is None
    )


def test_only_matrices_decay():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = optim.build_optimizer(model, "adamw", lr=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = dict(model.named_parameters())
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * (1 - 0.1 * 0.5))
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(after[name], before[name])


def test_the_encoder_has_its_own_learning_rate():
    model = build_colorizer("unet", {"widths": [8, 8], "blocks": [1, 1]})
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizer = optim.build_optimizer(model, "adamw", 0.1, 0.5, encoder_lr_factor=0.3)
    groups = optimizer.param_groups
    assert sum(len(group["params"]) for group in groups) == len(names)
    for group in groups:
        in_encoder = {names[parameter].startswith("encoder.") for parameter in group["params"]}
        assert len(in_encoder) == 1
        assert group["lr"] == pytest.approx(0.03 if in_encoder == {True} else 0.1)
    kinds = [(group["lr"], group["weight_decay"]) for group in groups]
    assert kinds == [(0.1, 0.5), (0.1, 0), (pytest.approx(0.03), 0.5), (pytest.approx(0.03), 0)]
    optim.build_schedule(optimizer, "one_cycle", 10)
    assert [group["max_lr"] for group in groups] == [0.1, 0.1, *[pytest.approx(0.03)] * 2]


def test_a_training_run_uses_the_settings_of_its_recipe():
    model = build_colorizer("unet", {"widths": [8, 8], "blocks": [1, 1]})
    settings = TrainSettings(
        epochs=2, lr=0.1, batch_size=4, precision="float32", seed=0, optimizer="adamw",
        weight_decay=0.5, encoder_lr_factor=0.3, schedule="cosine", ema=0.9,
    )  # fmt: skip
    task = ColorizationTask(MSE(), "float32")
    state = task.initial_state(model, settings, torch.zeros(8, 3, 8, 8, dtype=torch.uint8))
    optimizer = state.optimizers[MODEL]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["initial_lr"] for group in optimizer.param_groups][::2] == [
        0.1,
        pytest.approx(0.03),
    ]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.5, 0.0}
    assert isinstance(state.schedulers[MODEL], CosineAnnealingLR)
    assert state.models[AVERAGE].decay == 0.9


def test_an_encoder_factor_of_one_gives_the_plain_optimizer():
    model = build_colorizer("unet", {"widths": [8, 8], "blocks": [1, 1]})
    parameters = list(model.parameters())
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    expected = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(expected, lr=0.1, weight_decay=0.5, fused=True)
    ours = optim.build_optimizer(model, "adamw", 0.1, 0.5)
    assert ours.state_dict() == theirs.state_dict()
    assert [list(map(id, group["params"])) for group in ours.param_groups] == [
        list(map(id, group["params"])) for group in theirs.param_groups
    ]


def test_the_recipes_have_the_settings_of_the_paper_and_of_the_unets():
    params = config.load_params()
    assert params.recipe("train") == params.train
    paper = {"optimizer": "adam", "schedule": "constant", "ema": 0, "flips": None}
    assert params.train.model_dump(include=set(paper)) == paper
    refined = params.recipe("recipes.refined")
    changed = {"optimizer": "adamw", "schedule": "one_cycle", "ema": 0.999, "flips": True}
    assert refined.model_dump(include=set(changed)) == changed
    assert refined.batch_size == params.train.batch_size
    photos = params.data("photos")
    settings = TrainSettings.from_params(refined, photos, 0, CPU)
    assert settings.epochs == refined.epochs_factor * photos.epochs


@pytest.mark.parametrize("data_set_flips", [False, True])
@pytest.mark.parametrize("recipe_flips", [False, True, None])
def test_the_flips_of_a_recipe_override_those_of_the_data_set(recipe_flips, data_set_flips):
    params = config.load_params()
    recipe = params.train.model_copy(update={"flips": recipe_flips})
    data = params.data("folder").model_copy(update={"flips": data_set_flips})
    flips = TrainSettings.from_params(recipe, data, 0, CPU).flips
    assert flips is (data_set_flips if recipe_flips is None else recipe_flips)


def test_the_schedule_has_the_steps_of_the_loop():
    settings = TrainSettings(epochs=3, lr=0.1, batch_size=8, precision="float32", seed=0)
    assert settings.steps(24) == 9
    assert settings.steps(25) == 9  # a single remaining image joins the last batch
    assert settings.steps(26) == 12
    assert batch_starts(25, 8) == [0, 8, 16, 24]
    assert batch_starts(25, 8, min_rows=2) == [0, 8, 16]
    # Three remaining images are too few for two processes with two images each.
    assert dataclasses.replace(settings, processes=2).steps(27) == 9
