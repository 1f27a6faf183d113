"""A training that is killed, interrupted, or whose checkpoint is corrupt: real processes."""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import COLORS
from limits import no_file_larger_than
from project import ROOT
from stages_in_folder import (
    ADVERSARIAL,
    NEIGHBORS,
    PRETEXT,
    PROBE,
    REBALANCED,
    TRAIN,
    prepare,
    results,
    run,
    start,
    wait_for,
)

from colorpipe import config, files, weights
from colorpipe.runtime.errors import UserError
from colorpipe.training import colorization, loop, resume
from colorpipe.training.colorization import ColorizerEntry
from colorpipe.training.state import MODEL, TrainState


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return prepare(tmp_path_factory.mktemp("resume"))


@pytest.mark.parametrize(
    ("stage", "name", "signals", "copied"),
    [
        (TRAIN, "resnet", (signal.SIGINT, signal.SIGKILL), False),
        (
            REBALANCED,
            "unet",
            (signal.SIGKILL,),
            False,
        ),  # with a schedule, an average of the weights and flips
        (ADVERSARIAL, "unet_gan", (signal.SIGKILL,), False),  # with two networks and two optimizers
        (PRETEXT, "pretext/xavier-finetune-100", (signal.SIGKILL,), True),
        (PROBE, "pretext/xavier-probe-50", (signal.SIGKILL,), False),
    ],
)
def test_killed_or_interrupted_it_ends_as_if_never_stopped(
    folder, tmp_path, stage, name, signals, copied
):
    """In the repository's folder, and in a copy of it, where DVC runs an experiment and names the repository."""
    repository = tmp_path if copied else folder
    environment = {"DVC_ROOT": str(repository)} if copied else {}
    run(folder, stage)
    expected = results(folder, name)
    assert len(expected) >= 3
    for path in expected:
        (folder / path).unlink()

    moments = random.Random(0)
    for sent in signals:
        there = tmp_path / sent.name
        process = start(folder, stage, (str(moments.randint(4, 8)), str(there)), **environment)
        wait_for(there.exists, process)
        wait_for(lambda: [*(repository / files.RESUME).glob("*/[0-9]*-*.pt")], process)
        process.send_signal(sent)
        output = process.communicate()[0]
        if sent == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 130
            assert "Traceback" not in output
            assert (
                output.splitlines()[-1]
                == f"interrupted: {name}: its epochs are kept in runs/resume; run `dvc repro` to resume"
            )
        for path in expected:  # as DVC does before it runs a stage again
            (folder / path).unlink(missing_ok=True)
    output = run(folder, stage, **environment)
    assert f"{name}: resuming after epoch " in output
    assert results(folder, name) == expected
    assert not (repository / files.RESUME).exists()


def test_killed_nearest_neighbors_are_found_again(folder):
    name = "pretext/xavier-knn-50"
    killed = start(folder, NEIGHBORS)
    wait_for((folder / files.weights_path(name, "best")).exists, killed)
    killed.kill()
    killed.communicate()
    found = []
    for _ in range(2):
        assert "24 labels, test accuracy" in run(folder, NEIGHBORS)
        found.append(results(folder, name))
    assert found[0] == found[1]
    assert len(found[0]) == 4


@pytest.mark.skipif(
    sys.platform != "linux", reason="no other system can tell a process that its parent was killed"
)
def test_a_stage_ends_with_the_dvc_that_runs_it():
    code = "import time; from colorpipe.runtime.process import run_main; "
    code += "run_main(lambda: (print('up', flush=True), time.sleep(100)))"
    runs = f"""import subprocess; subprocess.run(["/bin/sh", "-c", "exec '{sys.executable}' -c \\"$CODE\\""])"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "train@resnet", "CODE": code}
    parent = subprocess.Popen(
        [sys.executable, "-c", runs], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    assert parent.communicate(timeout=30)[0] == ""  # the pipe ends when the child, too, is gone
    commands = re.findall(r"cmd: (?:>-\s+)?(.*)", (ROOT / "dvc.yaml").read_text())
    assert len(commands) == 9
    assert all(
        command.startswith("exec python -m ") for command in commands
    )  # no shell stands between


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Train a colorizer for two epochs, in this process, from a folder of its own; what it is called with."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        path = files.images_path("photos", part)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.integers(0, 256, (20, 3, 16, 16), dtype=np.uint8))
    np.save(files.colors_path("photos"), COLORS.numpy())
    for name in ("resnet18", "mse", "color_classification"):
        weights.save(files.start_path("photos", name), {}, {"weights": "random"})
    params = config.load_params(ROOT / "params.yaml")

    def train(epochs: int = 3, stop: int = 0, loss: str = "mse", **changes: object) -> None:
        photos = params.data("photos").model_copy(update={"epochs": epochs})
        update = {"datasets": {**params.datasets, "photos": photos}, "threads": 1, **changes}
        if stop:
            monkeypatch.setattr(loop, "validate", stopping(loop.validate, stop))
        try:
            start = files.start_path("photos", "resnet18")
            columns = ColorizerEntry("resnet18", "photos", loss, "train", start)
            colorization.train("resnet", columns, params.model_copy(update=update))
        finally:
            monkeypatch.undo()
            monkeypatch.chdir(tmp_path)

    return train


def stopping(evaluate, after: int):
    calls = iter(range(after))

    def stopped(*arguments):
        if next(calls, None) is None:
            raise SystemExit("stopped")
        return evaluate(*arguments)

    return stopped


def checkpoints() -> list[Path]:
    return sorted(files.RESUME.glob("*/[0-9]*-*.pt"))


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_named(small):
    small(epochs=1)
    size = files.weights_path("resnet", "last").stat().st_size
    with (
        no_file_larger_than(2 * size),  # a checkpoint has the weights and two moments of each
        pytest.raises(UserError, match=r"checkpoint\.pt cannot be written: File too large"),
    ):
        small()
    assert not checkpoints()
    assert files.weights_path("resnet", "best").is_file()


def test_a_checkpoint_of_other_params_or_data_is_ignored(small, capsys):
    with pytest.raises(SystemExit):
        small(stop=2)
    (checkpoint,) = checkpoints()
    small(seed=3)
    said = capsys.readouterr().out
    assert f"resnet: {checkpoint.parent} is not used, because it was made with other code" in said
    assert "resuming" not in said
    assert checkpoints() == [checkpoint]  # the other training may still resume
    small(threads=2)
    assert "resuming" not in capsys.readouterr().out
    images = np.load(files.images_path("photos", "train"))
    images[0, 0, 0, 0] ^= 1
    np.save(files.images_path("photos", "train"), images)
    small()
    assert "resuming" not in capsys.readouterr().out
    images[0, 0, 0, 0] ^= 1
    np.save(files.images_path("photos", "train"), images)
    small()
    assert "resnet: resuming after epoch 2" in capsys.readouterr().out
    assert checkpoints() == []


def test_a_checkpoint_of_other_settings_of_the_loss_is_ignored(small, capsys):
    losses = config.load_params(ROOT / "params.yaml").losses
    changed = {**losses["color_classification"], "uniform_share": 0.25}
    with pytest.raises(SystemExit):
        small(stop=1, loss="color_classification", losses=losses)
    (checkpoint,) = checkpoints()
    small(loss="color_classification", losses={**losses, "color_classification": changed})
    assert "resuming" not in capsys.readouterr().out
    assert checkpoints() == [checkpoint]
    _, metadata = weights.load(files.weights_path("resnet", "best"))
    assert metadata["loss"] == {"name": "color_classification", "settings": changed}
    small(loss="color_classification", losses=losses)
    assert "resuming after epoch 1" in capsys.readouterr().out


def test_a_checkpoint_of_other_code_is_ignored(small, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        small(stop=1)
    other = tmp_path / "metrics.py"
    other.write_text(Path(sys.modules["colorpipe.metrics"].__file__).read_text() + "\n# changed\n")
    with monkeypatch.context() as changed:
        changed.setattr(sys.modules["colorpipe.metrics"], "__file__", str(other))
        small()
    said = capsys.readouterr().out
    assert "it was made with other code" in said
    assert "resuming" not in said


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-50], lambda content: content[:-9] + b"\1" + content[-8:]]
)
def test_a_corrupt_checkpoint_is_reported_and_ignored(small, capsys, damage):
    small()
    expected = results(Path(), "resnet")
    with pytest.raises(SystemExit):
        small(stop=2)
    (checkpoint,) = checkpoints()
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    small()
    said = capsys.readouterr().out
    assert f"{checkpoint} is corrupt: ignored and deleted" in said
    assert "resuming" not in said
    assert results(Path(), "resnet") == expected


def test_what_a_kill_left_in_the_middle_of_a_write_is_removed(small, capsys):
    with pytest.raises(SystemExit):
        small(stop=2)
    (checkpoint,) = checkpoints()
    (checkpoint.parent / "checkpoint.pt").write_bytes(
        b"half"
    )  # complete, but without its checksum yet
    (checkpoint.parent / ".1.part").write_bytes(b"half")
    small()
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert not files.RESUME.exists()


def test_a_folder_in_a_checkpoints_place_is_ignored(small, capsys):
    with pytest.raises(SystemExit):
        small(stop=2)
    (checkpoint,) = checkpoints()
    checkpoint.unlink()
    checkpoint.mkdir()
    small()
    assert "resuming" not in capsys.readouterr().out
    assert not files.RESUME.exists()
    files.RESUME.write_text("a file")
    with pytest.raises(UserError, match="runs/resume cannot be written: Not a directory"):
        small()


def test_a_checkpoint_keeps_the_memory_layout(tmp_path, monkeypatch):
    """The fused step of Adam needs moments with the strides of their parameter."""
    monkeypatch.chdir(tmp_path)

    def state() -> TrainState:
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return TrainState({MODEL: model}, {MODEL: torch.optim.Adam(model.parameters(), fused=True)})

    trained, restored = state(), state()
    trained.model(torch.rand(1, 3, 8, 8)).sum().backward()
    trained.optimizers[MODEL].step()
    trained.append({"epoch": 1, "val_loss": 1.0}, 1.0)
    checkpoint = resume.Checkpoint("some", "0" * 16)
    checkpoint.save(trained)
    checkpoint.writer.shutdown()
    resume.restore(restored, resume.Checkpoint("some", "0" * 16).load())
    weight, expected = (
        restored.model.weight,
        trained.optimizers[MODEL].state[trained.model.weight]["exp_avg"],
    )
    moment = restored.optimizers[MODEL].state[weight]["exp_avg"]
    assert moment.stride() == weight.stride() == expected.stride()
    assert torch.equal(moment, expected)
    assert torch.equal(restored.best["weight"], trained.model.weight)


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_leaves_the_last_checkpoint(
    small, monkeypatch
):
    inner, steps = colorization.ColorizationTask.metrics, iter(range(6))

    def poisoned(task, model, batch):
        metrics = inner(task, model, batch)
        if model.training and next(steps, None) is None:
            metrics["loss"] = metrics["loss"] * float("nan")
        return metrics

    monkeypatch.setattr(colorization.ColorizationTask, "metrics", poisoned)
    monkeypatch.setattr("colorpipe.training.devices.has_bfloat16", lambda _: True)
    train = config.load_params(ROOT / "params.yaml").train.model_copy(update={"batch_size": 5})
    with pytest.raises(
        UserError,
        match=r"the loss is nan in epoch 2, step 3: lower .*, or set train\.precision=float32",
    ):
        small(train=train)
    (checkpoint,) = checkpoints()
    assert [
        metrics["epoch"] for metrics in torch.load(checkpoint, weights_only=True)["history"]
    ] == [1]


@pytest.mark.parametrize(
    ("step", "remedy"),
    [("train_step", r"lower train\.batch_size"), ("eval_step", "lower the data set's size")],
)
def test_exhausted_memory_names_the_batch_size(small, monkeypatch, step, remedy):
    monkeypatch.setattr(
        colorization.ColorizationTask, step, lambda task, model, batch: torch.empty(2**60)
    )
    with pytest.raises(UserError, match=rf"out of memory with batches of 64 images .*: {remedy}"):
        small()
