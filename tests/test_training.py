import shutil

import pytest
import torch
from torch import nn

from colorpipe import checkpoints, colorization, params, training
from colorpipe.errors import UserError
from colorpipe.losses import mse
from colorpipe.models.colorizer import build

SETTINGS = training.Settings(epochs=4, lr=0.01, batch_size=8, precision="float32", compile=False, seed=5)


def scripted(validation_losses):
    """A measure whose validation loss follows a script; one parameter moves, so that epochs differ."""
    script = iter(validation_losses)

    def measure(model, batch):
        loss = model.weight.sum() * 0 + (model.weight * 0.5).sum() ** 2
        return {"loss": loss if model.training else torch.tensor(next(script)), "score": torch.tensor(1.0)}

    return measure


def fit(validation_losses, save=lambda which, row: None):
    images = torch.zeros(16, 1)
    return training.fit(nn.Linear(2, 2), scripted(validation_losses), (images,), (images[:8],), SETTINGS, save)


def test_best_is_the_lowest_validation_loss():
    saved = []
    fit([3.0, 1.0, 2.0, 1.0], lambda which, row: saved.append((which, row["epoch"])))
    assert saved == [("best", 1), ("best", 2), ("last", 4)]


def test_curves_have_every_measure_for_both_parts():
    curves = fit([3.0, 1.0, 2.0, 1.0])
    assert [row["epoch"] for row in curves] == [1, 2, 3, 4]
    assert [row["val_loss"] for row in curves] == [3, 1, 2, 1]
    assert set(curves[0]) == {"epoch", "train_loss", "train_score", "val_loss", "val_score"}


def test_a_loss_that_is_not_finite_stops():
    with pytest.raises(UserError, match=r"the validation loss is nan in epoch 2: stopped; train\.lr=0\.01 is likely"):
        fit([3.0, float("nan"), 2.0, 1.0])


def test_one_image_is_no_train_set():
    image = torch.zeros(1, 1)
    with pytest.raises(UserError, match="one image alone cannot be trained on"):
        training.fit(nn.Linear(1, 1), lambda model, batch: {}, (image,), (image,), SETTINGS, lambda which, row: None)


def test_every_image_once_an_epoch_in_an_order_of_the_seed():
    seen = []

    def measure(model, batch):
        if model.training:
            seen.extend(batch[0].flatten().tolist())
        return {"loss": model.weight.sum()}

    images = torch.arange(20.0).view(20, 1)
    for _ in range(2):
        training.fit(nn.Linear(1, 1), measure, (images,), (images[:4],), SETTINGS, lambda which, row: None)
    first, second = seen[:80], seen[80:]
    assert first == second
    assert all(sorted(first[start : start + 20]) == list(range(20)) for start in range(0, 80, 20))
    assert first[:20] != first[20:40]
    assert first[:20] != list(range(20))


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_two_runs_give_the_same_weights_to_the_bit(precision, tmp_path):
    def run():
        training.prepare(seed=1, threads=2)
        model = build("resnet18", {"cut": "layer1"}).to(memory_format=torch.channels_last)
        images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
        settings = training.Settings(epochs=2, lr=0.001, batch_size=16, precision=precision, compile=False, seed=1)
        task = colorization.task(mse.build({}, {}), precision)
        curves = training.fit(model, task, (images[:32],), (images[32:],), settings, lambda which, row: None)
        return model.state_dict(), curves

    (weights, curves), (again, curves_again) = run(), run()
    assert curves == curves_again
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    for name, state in (("a", weights), ("b", again)):
        checkpoints.save(tmp_path / name, state, {"some": 1, "other": [2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_training_learns_and_the_seed_matters():
    def first_losses(seed):
        training.prepare(seed=seed, threads=2)
        model = build("resnet18", {"cut": "layer1"})
        L = torch.linspace(0, 255, 32).view(1, 1, 1, 32).expand(48, 3, 32, 32).clone()
        L[:, 0] *= 0.5  # every image the same blue-green
        settings = training.Settings(epochs=5, lr=0.003, batch_size=16, precision="float32", compile=False, seed=seed)
        curves = training.fit(
            model, colorization.task(mse.build({}, {}), "float32"), (L.byte(),), (L[:8].byte(),), settings, lambda w, r: None
        )
        return [row["train_loss"] for row in curves]

    losses = first_losses(0)
    assert losses[-1] < losses[0] / 5
    assert losses != first_losses(1)


def test_checkpoints_say_what_they_are(tmp_path):
    path = tmp_path / "deep" / "weights.safetensors"
    checkpoints.save(path, {"w": torch.ones(2)}, {"model": "m", "row": {"epoch": 3}})
    tensors, description = checkpoints.load(path)
    assert tensors["w"].tolist() == [1, 1]
    assert description == {"model": "m", "row": {"epoch": 3}}
    assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "best.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"best\.safetensors is no whole file of weights"):
        checkpoints.load(path)
    with pytest.raises(UserError, match="is missing"):
        checkpoints.load(tmp_path / "none")


def test_the_reports_settings_are_the_default():
    p = params.load()
    assert (p.train.lr, p.train.batch_size, p.datasets.cifar10.epochs, p.datasets.cifar10.val_size) == (1e-3, 64, 50, 5000)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs g++ on a CPU")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_is_the_eager_one():
    """Loss, SSIM, PSNR and every gradient of one real batch, in float32."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    eager = colorization.task(mse.build({}, {}), "float32")
    found = []
    for measure in (eager, training.compiled(eager, torch.device("cpu"))):
        model.zero_grad()
        measures = measure(model, (images,))
        measures["loss"].backward()
        found.append(
            ({name: value.detach() for name, value in measures.items()}, [p.grad.clone() for p in model.parameters()])
        )
    torch.testing.assert_close(*found)


def test_compiling_without_a_compiler_says_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"train\.compile=true needs a C\+\+ compiler"):
        training.compiled(lambda model, batch: {}, torch.device("cpu"))
