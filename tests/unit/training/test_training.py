import re
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorpipe import config, weights
from colorpipe.inference import prepare_device
from colorpipe.losses.mse import MSE
from colorpipe.metrics import METRIC_BATCH_SIZE
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError
from colorpipe.training import devices, loop, optim, processes
from colorpipe.training.augment import random_flip, random_shift
from colorpipe.training.colorization import ColorizationTask
from colorpipe.training.loop import NonFiniteGuard
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import MODEL, TrainState
from colorpipe.training.task import TrainingTask

SETTINGS = TrainSettings(epochs=4, lr=0.01, batch_size=8, precision="float32", seed=5)


def build_state(model: nn.Module, lr: float = 0.01) -> TrainState:
    return TrainState({MODEL: model}, {MODEL: optim.build_optimizer(model, "adam", lr)})


class ScriptedTask(TrainingTask):
    """A task whose validation loss follows a script. The weights change in every step."""

    def __init__(self, validation_losses):
        super().__init__("float32")
        self.script = iter(validation_losses)

    def metrics(self, model, batch):
        loss = (model.weight * 0.5).sum() ** 2
        return {
            "loss": loss if model.training else torch.tensor(next(self.script)),
            "score": torch.tensor(1.0),
        }


def fit(validation_losses, save=lambda which, metrics, tensors: None):
    images = torch.zeros(16, 1)
    return loop.fit(
        ScriptedTask(validation_losses),
        build_state(nn.Linear(2, 2)),
        (images,),
        (images[:8],),
        SETTINGS,
        save,
    )


def test_the_best_epoch_has_the_lowest_validation_loss():
    saved = []
    fit(
        [3.0, 1.0, 2.0, 1.0],
        lambda which, metrics, tensors: saved.append((which, metrics["epoch"])),
    )
    assert saved == [("best", 1), ("best", 2), ("last", 4)]


def test_the_state_keeps_the_weights_of_the_best_epoch():
    state = build_state(nn.Linear(1, 1))
    for epoch, loss in enumerate([3.0, 1.0, 2.0], start=1):
        state.model.weight.data.fill_(epoch)
        assert state.append({"epoch": epoch, "val_loss": loss}, loss) == (epoch in (1, 2))
    assert state.best_epoch == 2
    assert state.best["weight"].item() == 2


def test_history_has_every_metric_for_both_sets():
    history = fit([3.0, 1.0, 2.0, 1.0])
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3, 4]
    assert [metrics["val_loss"] for metrics in history] == [3, 1, 2, 1]
    assert set(history[0]) == {"epoch", "train_loss", "train_score", "val_loss", "val_score"}


def test_a_loss_that_is_not_finite_stops_training():
    with pytest.raises(
        UserError,
        match=r"the validation loss is nan in epoch 2: lower train\.lr, which is 0\.01",
    ):
        fit([3.0, float("nan"), 2.0, 1.0])


def test_losses_are_read_every_fifty_steps_and_the_first_bad_one_is_named(monkeypatch):
    read = []
    check = NonFiniteGuard.check
    monkeypatch.setattr(
        NonFiniteGuard, "check", lambda self: (read.append(len(self.losses)), check(self))
    )
    guard = NonFiniteGuard(["loss"], 3, SETTINGS)
    for _ in range(2 * loop.CHECK_INTERVAL + 7):
        guard.update({"loss": torch.tensor(1.0)})
    assert read == [50, 50]
    guard.update({"loss": torch.tensor(float("inf"))})
    guard.update({"loss": torch.tensor(float("nan"))})
    with pytest.raises(UserError, match="the loss is inf in epoch 3, step 108"):
        guard.check()


def test_the_processes_divide_a_batch(monkeypatch):
    batch = (torch.arange(5), torch.arange(5.0))
    assert [tensor.tolist() for tensor in processes.own_part(batch)] == [[0, 1, 2, 3, 4]] * 2
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    for rank, part in enumerate(([0, 1, 2], [3, 4])):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        assert [tensor.tolist() for tensor in processes.own_part(batch)] == [part] * 2


def test_a_single_image_is_refused():
    image = torch.zeros(1, 1)
    with pytest.raises(
        UserError, match="the training set has 1 images, but BatchNorm needs 2 or more:"
    ):
        loop.fit(
            ScriptedTask([]),
            build_state(nn.Linear(1, 1)),
            (image,),
            (image,),
            SETTINGS,
            lambda which, metrics, tensors: None,
        )


def test_an_epoch_visits_each_image_once_in_an_order_drawn_with_the_seed():
    seen = []

    class Recording(TrainingTask):
        def metrics(self, model, batch):
            if model.training:
                seen.extend(batch[0].flatten().tolist())
            return {"loss": model.weight.sum()}

    images = torch.arange(20.0).view(20, 1)
    for _ in range(2):
        task = Recording("float32")
        loop.fit(
            task,
            build_state(nn.Linear(1, 1)),
            (images,),
            (images[:4],),
            SETTINGS,
            lambda which, metrics, tensors: None,
        )
    first, second = seen[:80], seen[80:]
    assert first == second
    assert all(sorted(first[start : start + 20]) == list(range(20)) for start in range(0, 80, 20))
    assert first[:20] != first[20:40]
    assert first[:20] != list(range(20))


class TwoPlayers:
    """A small adversarial task: two models, an optimizer for each, and a schedule."""

    loss_names = ("loss",)

    def train_step(self, state, batch):
        real = batch[0]
        generator, discriminator = state.models[MODEL], state.models["discriminator"]
        for name, loss in (
            (
                "discriminator",
                lambda: (
                    (discriminator(real) - 1).square().mean()
                    + discriminator(generator(real)).square().mean()
                ),
            ),
            (MODEL, lambda: (discriminator(generator(real)) - 1).square().mean()),
        ):
            value = loss()
            state.step(name, value)
        return {"loss": value.detach()}

    def eval_step(self, model, batch):
        return {"loss": (model(batch[0]) - batch[0]).square().mean()}

    def selection(self, epoch):
        return epoch["val_loss"]


def two_players() -> TrainState:
    torch.manual_seed(0)
    models = {MODEL: nn.Linear(3, 3), "discriminator": nn.Linear(3, 1)}
    optimizers = {
        name: torch.optim.Adam(model.parameters(), lr=0.01) for name, model in models.items()
    }
    schedule = torch.optim.lr_scheduler.StepLR(optimizers[MODEL], step_size=5, gamma=0.5)
    return TrainState(models, optimizers, {MODEL: schedule})


def test_the_loop_runs_any_task_and_resumes_its_whole_state():
    images = torch.randn(24, 1, 1, 3, generator=torch.Generator().manual_seed(1))

    def train(state, epochs):
        settings = replace(SETTINGS, epochs=epochs, flips=True)
        loop.fit(
            TwoPlayers(),
            state,
            (images,),
            (images[:8],),
            settings,
            lambda which, metrics, tensors: None,
        )
        return state

    whole = train(two_players(), 4)
    assert whole.optimizers[MODEL].param_groups[0]["lr"] == pytest.approx(0.01 / 4)  # 12 steps
    half = train(two_players(), 2).state_dict()

    class Restored:
        """A checkpoint in memory instead of on disk."""

        def load(self):
            return half | {"rng": {"cpu": torch.get_rng_state()}}

        def save(self, state):
            pass

    resumed = two_players()
    settings = replace(SETTINGS, flips=True)
    loop.fit(
        TwoPlayers(),
        resumed,
        (images,),
        (images[:8],),
        settings,
        lambda which, metrics, tensors: None,
        checkpoint=Restored(),
    )
    assert resumed.history == whole.history
    for name, model in whole.models.items():
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, resumed.models[name].state_dict()[key]), (name, key)


def test_bfloat16_is_used_if_the_processor_has_it(monkeypatch, capsys):
    params = config.load_params()
    for has in (True, False):
        monkeypatch.setattr(devices, "has_bfloat16", lambda _, has=has: has)
        settings = TrainSettings.from_params(
            params.train, params.data("photos"), 0, torch.device("cpu")
        )
        assert settings.precision == ("bfloat16" if has else "float32")
        assert ("only emulates bfloat16" in capsys.readouterr().out) != has


def test_half_of_the_images_are_mirrored():
    images = torch.arange(200 * 3 * 2 * 4).view(200, 3, 2, 4)
    flipped = random_flip(images, torch.Generator().manual_seed(0))
    mirrored = [
        torch.equal(image, original.flip(-1))
        for image, original in zip(flipped, images, strict=True)
    ]
    assert all(
        m or torch.equal(image, original)
        for m, image, original in zip(mirrored, flipped, images, strict=True)
    )
    assert 70 < sum(mirrored) < 130
    assert torch.equal(flipped, random_flip(images, torch.Generator().manual_seed(0)))


def test_images_are_shifted_and_mirrored_at_the_border():
    images = torch.randint(
        0, 256, (200, 3, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    shifted = random_shift(images, 2, torch.Generator().manual_seed(0))
    wide = F.pad(images.float(), (2, 2, 2, 2), mode="reflect").byte()
    crops = {(y, x): wide[:, :, y : y + 8, x : x + 9] for y in range(5) for x in range(5)}
    offsets = set()
    for number, image in enumerate(shifted):
        (offset,) = (yx for yx, cropped in crops.items() if torch.equal(cropped[number], image))
        offsets.add(offset)
    assert offsets == crops.keys()
    assert torch.equal(shifted, random_shift(images, 2, torch.Generator().manual_seed(0)))
    assert shifted.dtype == torch.uint8


def test_only_training_images_are_flipped_and_shifted():
    seen = {True: [], False: []}

    class Recording(TrainingTask):
        def metrics(self, model, batch):
            seen[model.training].append(batch[0])
            return {"loss": model.weight.sum() ** 2}

    images = torch.arange(16.0).view(16, 1, 1, 1) + torch.arange(4.0) / 8  # (16, 1, 1, 4)
    for change in ({"flips": True}, {"shifts": 1}):
        settings = replace(SETTINGS, epochs=1, **change)
        images = images.expand(16, 1, 4, 4)
        loop.fit(
            Recording("float32"),
            build_state(nn.Linear(1, 1)),
            (images,),
            (images,),
            settings,
            lambda which, metrics, tensors: None,
        )
        rows = torch.cat(seen[True])[:, 0, 0]
        # Some images are mirrored or have a mirrored border.
        assert 0 < (rows != rows.sort(dim=1).values).any(dim=1).sum() < 16
        assert sorted(rows[:, 0].floor().tolist()) == list(range(16))
        assert torch.equal(torch.cat(seen[False]), images)
        seen[True].clear()
        seen[False].clear()


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_two_runs_give_the_same_weights_to_the_bit(precision, tmp_path):
    def run():
        prepare_device(seed=1, threads=2)
        model = build_colorizer("resnet18", {"cut": "layer1"}).to(memory_format=torch.channels_last)
        images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
        settings = TrainSettings(epochs=2, lr=0.001, batch_size=16, precision=precision, seed=1)
        task = ColorizationTask(MSE(), precision)
        state = build_state(model, 0.001)
        history = loop.fit(
            task,
            state,
            (images[:32],),
            (images[32:],),
            settings,
            lambda which, metrics, tensors: None,
        )
        return model.state_dict(), history

    (tensors, history), (again, history_again) = run(), run()
    assert history == history_again
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    for name, state in (("a", tensors), ("b", again)):
        weights.save(tmp_path / name, state, {"some": 1, "other": [2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_training_learns_and_the_seed_matters():
    def first_losses(seed):
        prepare_device(seed=seed, threads=2)
        model = build_colorizer("resnet18", {"cut": "layer1"})
        L = torch.linspace(0, 255, 32).view(1, 1, 1, 32).expand(48, 3, 32, 32).clone()
        L[:, 0] *= 0.5  # every image has the same blue-green ramp
        settings = TrainSettings(epochs=5, lr=0.003, batch_size=16, precision="float32", seed=seed)
        task, state = ColorizationTask(MSE(), "float32"), build_state(model, 0.003)
        history = loop.fit(
            task,
            state,
            (L.byte(),),
            (L[:8].byte(),),
            settings,
            lambda which, metrics, tensors: None,
        )
        return [metrics["train_loss"] for metrics in history]

    losses = first_losses(0)
    assert losses[-1] < losses[0] / 5
    assert losses != first_losses(1)


def test_the_default_settings_are_those_of_the_paper():
    params = config.load_params()
    cifar10 = params.data("cifar10")
    assert (params.train.lr, params.train.batch_size) == (1e-3, 64)
    assert (cifar10.epochs, cifar10.val_size) == (50, 5000)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs g++ on a CPU")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_equals_the_eager_step():
    """Compare loss, SSIM, PSNR and all gradients of one batch in float32."""
    torch.manual_seed(0)
    model = Colorizer(nn.Identity(), nn.Conv2d(1, 2, 3, padding=1), channels=1, stride=1)
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    task = ColorizationTask(MSE(), "float32")
    results = []
    for compiled in (False, True):
        if compiled:
            task.compile(torch.device("cpu"), process_count=1)
        model.zero_grad()
        metrics = task.metrics(model, (images,))
        metrics["loss"].backward()
        values = {name: value.detach() for name, value in metrics.items()}
        results.append((values, [parameter.grad.clone() for parameter in model.parameters()]))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)  # the order of sums differs


def test_an_epoch_reads_no_memory_of_a_finished_cuda_graph(monkeypatch):
    """A CUDA graph overwrites the metrics of the step before. Here, an access raises an error."""
    model = Colorizer(nn.Identity(), nn.Conv2d(1, 2, 3, padding=1), channels=1, stride=1)
    images = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
    task = ColorizationTask(MSE(), "float32")
    eager, last = task.metrics, []

    def replay(model, batch):
        for value in last:
            torch._C._set_storage_data_ptr_access_error_msg(value.untyped_storage()._cdata, "gone")
        metrics = eager(model, batch)
        last[:] = metrics.values()
        return metrics

    monkeypatch.setattr(task, "metrics", replay)
    history = loop.fit(
        task,
        task.initial_state(model, SETTINGS, images),
        (images,),
        (images[:8],),
        SETTINGS,
        lambda which, metrics, tensors: None,
    )
    assert len(history) == SETTINGS.epochs


def test_validation_uses_the_batches_of_the_test():
    sizes = []

    def eval_step(model, batch):
        sizes.append(len(batch[0]))
        return {"loss": torch.tensor(0.0)}

    loop.validate(eval_step, nn.Identity(), (torch.zeros(2 * METRIC_BATCH_SIZE + 1, 1),))
    assert sizes == [METRIC_BATCH_SIZE, METRIC_BATCH_SIZE, 1]


@pytest.mark.parametrize(
    ("device", "compiler", "variable"), [("cpu", "g++", "CXX"), ("cuda", "gcc", "CC")]
)
def test_compiling_without_a_compiler_is_an_error(monkeypatch, device, compiler, variable):
    monkeypatch.setenv(variable, "no-such-compiler")
    message = f"compile=true needs a compiler: install {compiler} or set {variable}"
    with pytest.raises(UserError, match=re.escape(message)):
        ColorizationTask(MSE(), "float32").compile(torch.device(device), process_count=1)
