"""The adversarial phase, which first trains only the discriminator."""

import dataclasses

import pytest
import torch
from torch import nn

from colorpipe import config
from colorpipe.config import AdversarialConfig
from colorpipe.inference import predict
from colorpipe.losses.l1 import L1
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError
from colorpipe.training import loop
from colorpipe.training.adversarial import (
    DISCRIMINATOR,
    EXCESS_PENALTY,
    AdversarialTask,
    PatchGAN,
)
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import MODEL

CONFIG = AdversarialConfig(
    discriminator_lr=0.01, discriminator_epochs=1, loss_weight=0.5, max_relative_mse=1.0
)
SETTINGS = TrainSettings(epochs=2, lr=0.01, batch_size=4, precision="float32", seed=0)


@pytest.fixture
def task() -> AdversarialTask:
    return AdversarialTask(CONFIG, L1(), "float32")


@pytest.fixture
def state(task):
    torch.manual_seed(0)
    model = build_colorizer("unet", {"widths": [8, 8], "blocks": [1, 1]})
    nn.init.normal_(model.decoder.head.weight, std=0.1)
    return task.initial_state(model, SETTINGS, torch.zeros(8, 3, 32, 32, dtype=torch.uint8))


@pytest.fixture
def batch():
    return (
        torch.randint(
            0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
        ),
    )


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def changed(before: list[torch.Tensor], model: nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_discriminator_trains_alone_first(task, state, batch):
    for history, generator_moves in (([], False), ([{}], True)):
        state.history[:] = history
        before = {name: weights(model) for name, model in state.models.items()}
        metrics = task.train_step(state, batch)
        assert changed(before[DISCRIMINATOR], state.models[DISCRIMINATOR])
        assert changed(before[MODEL], state.models[MODEL]) == generator_moves
        assert {"loss", "ssim", "psnr", "discriminator"} <= metrics.keys()


def test_a_schedule_ends_with_the_last_epoch(task, batch):
    settings = dataclasses.replace(SETTINGS, epochs=3, schedule="cosine")
    model = build_colorizer("unet", {"widths": [8, 8], "blocks": [1, 1]})
    state = task.initial_state(model, settings, torch.zeros(8, 3, 32, 32, dtype=torch.uint8))
    for epoch in range(settings.epochs):
        state.history[:] = epoch * [{}]
        for _ in range(2):  # batches of 4 among 8 images
            task.train_step(state, batch)
    assert state.optimizers[MODEL].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_at_least_one_epoch_trains_both_networks():
    params = config.load_params()
    recipe = params.recipe("recipes.adversarial")
    data = params.data("photos").model_copy(update={"epochs": 1})
    settings = TrainSettings.from_params(recipe, data, 0, torch.device("cpu"))
    assert settings.epochs == recipe.adversarial.discriminator_epochs + 1


def test_each_network_moves_on_its_own_loss_alone(task, state, batch, monkeypatch):
    """Compare the gradients with those of both losses, computed here without the task."""
    state.history[:] = [{}]
    gradients = {}

    def record(name, loss):
        state.models[name].zero_grad()
        loss.backward()
        gradients[name] = [
            None if p.grad is None else p.grad.clone() for p in state.models[name].parameters()
        ]

    monkeypatch.setattr(state, "step", record)
    # Without an update of the norms, the scores below equal those of the step.
    monkeypatch.setattr(PatchGAN, "estimate_norms", lambda self: None)
    generator, discriminator = state.models[MODEL].eval(), state.models[DISCRIMINATOR]
    task.train_step(state, batch)
    generator.zero_grad()
    discriminator.zero_grad()
    colorized = predict(generator, batch[0])
    L, real, fake = colorized.L, colorized.true_ab, colorized.prediction.ab
    hinge = (1 - discriminator(L, real)).relu().mean()
    hinge = hinge + (1 + discriminator(L, fake.detach())).relu().mean()
    expected = list(torch.autograd.grad(hinge, list(discriminator.parameters())))
    torch.testing.assert_close(gradients[DISCRIMINATOR], expected)
    loss = CONFIG.loss_weight * (fake - real).abs().mean() - discriminator(L, fake).mean()
    expected = list(torch.autograd.grad(loss, list(generator.parameters())))
    torch.testing.assert_close(gradients[MODEL], expected, rtol=1e-3, atol=1e-6)


def test_the_best_epoch_is_nearest_in_colorfulness_within_the_bound(task):
    def epoch(colorfulness, mse):
        return {
            "val_colorfulness": colorfulness,
            "val_original_colorfulness": 30.0,
            "val_mse": mse,
            "val_baseline_mse": 180.0,
            "val_loss": 1.0,
        }

    pale, vivid, near, wrong = (
        task.selection(epoch(*values)) for values in ((15, 120), (40, 150), (28, 160), (30, 181))
    )
    assert sorted((pale, vivid, near, wrong)) == [near, vivid, pale, wrong]
    assert near == pytest.approx(2)
    assert wrong > EXCESS_PENALTY


@pytest.mark.parametrize(("size", "field"), [(32, 16), (96, 34)])
def test_a_score_depends_on_one_patch(size, field):
    torch.manual_seed(0)
    discriminator = PatchGAN(size).eval()
    L, ab = torch.zeros(1, 1, 96, 96), torch.zeros(1, 2, 96, 96, requires_grad=True)
    scores = discriminator(L, ab)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    rows = ab.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == field
    assert not any(isinstance(module, nn.BatchNorm2d) for module in discriminator.modules())


def test_the_discriminators_weights_have_a_spectral_norm_of_one():
    torch.manual_seed(0)
    discriminator = PatchGAN(32).train()
    for _ in range(50):
        discriminator.estimate_norms()
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d):
            assert torch.linalg.matrix_norm(
                module.weight.detach().flatten(1), ord=2
            ).item() == pytest.approx(1, rel=0.02)


def test_a_discriminator_whose_loss_is_not_finite_stops_the_run(task, state, batch, monkeypatch):
    for name in (loop.ORDER, loop.AUGMENT):
        state.generators[name] = torch.Generator()
    not_finite = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(AdversarialTask, "_hinge", lambda *args: not_finite)
    with pytest.raises(UserError, match="the discriminator's loss is nan in epoch 1, step 1: "):
        loop.train_epoch(task, state, batch, SETTINGS)
