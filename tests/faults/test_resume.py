"""Killed and interrupted trainings resume. Checkpoints that do not fit are ignored."""

import os
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
    [  # signals and the steps at which they are sent
        (TRAIN, "resnet", {signal.SIGINT: 5, signal.SIGKILL: 7}, False),
        # with a schedule, an average of the weights and flips
        (REBALANCED, "unet", {signal.SIGKILL: 7}, False),
        (ADVERSARIAL, "unet_gan", {signal.SIGKILL: 7}, False),  # two networks and two optimizers
        # The best epoch so far is the first one, so the checkpoint has its weights too.
        (PRETEXT, "pretext/xavier-finetune-100", {signal.SIGKILL: 11}, True),
        (PROBE, "pretext/xavier-probe-50", {signal.SIGKILL: 7}, False),
    ],
)
def test_a_killed_or_interrupted_training_run_gives_the_same_bytes(
    folder, tmp_path, stage, name, signals, copied
):
    """Train in the repository, and in a copy with DVC_ROOT set, as in a queued experiment."""
    repository = tmp_path if copied else folder
    environment = {"DVC_ROOT": str(repository)} if copied else {}
    run(folder, stage)
    expected = results(folder, name)
    assert len(expected) >= 3
    for path in expected:
        (folder / path).unlink()

    for sent, step in signals.items():
        marker = tmp_path / sent.name
        process = start(folder, stage, (str(step), str(marker)), **environment)
        wait_for(marker.exists, process)
        wait_for(lambda: [*(repository / files.RESUME).glob("*/[0-9]*-*.pt")], process)
        process.send_signal(sent)
        output = process.communicate()[0]
        if sent == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 130
            assert "Traceback" not in output
            assert output.splitlines()[-1] == (
                f"interrupted: {name}: its epochs are kept in runs/resume; run `dvc repro` to "
                "resume"
            )
        for path in expected:  # as DVC does before it runs a stage again
            (folder / path).unlink(missing_ok=True)
    output = run(folder, stage, **environment)
    assert f"{name}: resuming after epoch " in output
    assert results(folder, name) == expected
    assert not (repository / files.RESUME).exists()


def test_a_killed_nearest_neighbor_run_gives_the_same_bytes(folder):
    name = "pretext/xavier-knn-50"
    killed = start(folder, NEIGHBORS)
    wait_for((folder / files.weights_path(name, "best")).exists, killed)
    killed.kill()
    killed.communicate()
    runs = []
    for _ in range(2):
        assert "24 labels, test accuracy" in run(folder, NEIGHBORS)
        runs.append(results(folder, name))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 4


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process that its parent was killed"
)
def test_a_stage_ends_when_its_dvc_process_is_killed():
    code = "import time; from colorpipe.runtime.process import run_main; "
    code += "run_main(lambda: (print('up', flush=True), time.sleep(100)))"
    script = (
        'import subprocess; subprocess.run(["/bin/sh", "-c", '
        f'"exec \'{sys.executable}\' -c \\"$CODE\\""])'
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "train@resnet", "CODE": code}
    parent = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    assert parent.communicate(timeout=30)[0] == ""  # the pipe closes when the child has ended
    commands = re.findall(r"cmd: (?:>-\s+)?(.*)", (ROOT / "dvc.yaml").read_text())
    assert len(commands) == 9
    # With `exec`, no shell is left between DVC and the stage.
    assert all(command.startswith("exec python -m ") for command in commands)


@pytest.fixture
def train_small(tmp_path, monkeypatch):
    """Return a function that trains a colorizer in this process, in a temporary folder."""
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
            monkeypatch.setattr(loop, "validate", stop_after(loop.validate, stop))
        try:
            start = files.start_path("photos", "resnet18")
            columns = ColorizerEntry("resnet18", "photos", loss, "train", start)
            colorization.train("resnet", columns, params.model_copy(update=update))
        finally:
            monkeypatch.undo()
            monkeypatch.chdir(tmp_path)

    return train


def stop_after(function, count: int):
    calls = iter(range(count))

    def stopped(*arguments):
        if next(calls, None) is None:
            raise SystemExit("stopped")
        return function(*arguments)

    return stopped


def checkpoints() -> list[Path]:
    return sorted(files.RESUME.glob("*/[0-9]*-*.pt"))


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_named(train_small):
    train_small(epochs=1)
    size = files.weights_path("resnet", "last").stat().st_size
    with (
        no_file_larger_than(2 * size),  # a checkpoint has each weight and its two moments
        pytest.raises(UserError, match=r"checkpoint\.pt cannot be written: File too large"),
    ):
        train_small()
    assert not checkpoints()
    assert files.weights_path("resnet", "best").is_file()


def test_a_checkpoint_of_other_params_or_data_is_ignored(train_small, capsys):
    with pytest.raises(SystemExit):
        train_small(stop=2)
    (checkpoint,) = checkpoints()
    train_small(seed=3)
    output = capsys.readouterr().out
    assert f"resnet: {checkpoint.parent} is not used, because it was made with other code" in output
    assert "resuming" not in output
    assert checkpoints() == [checkpoint]  # the other training may still resume
    train_small(threads=2)
    assert "resuming" not in capsys.readouterr().out
    images = np.load(files.images_path("photos", "train"))
    images[0, 0, 0, 0] ^= 1
    np.save(files.images_path("photos", "train"), images)
    train_small()
    assert "resuming" not in capsys.readouterr().out
    images[0, 0, 0, 0] ^= 1
    np.save(files.images_path("photos", "train"), images)
    train_small()
    assert "resnet: resuming after epoch 2" in capsys.readouterr().out
    assert checkpoints() == []


def test_a_checkpoint_of_other_settings_of_the_loss_is_ignored(train_small, capsys):
    losses = config.load_params(ROOT / "params.yaml").losses
    changed = {**losses["color_classification"], "uniform_share": 0.25}
    with pytest.raises(SystemExit):
        train_small(stop=1, loss="color_classification", losses=losses)
    (checkpoint,) = checkpoints()
    train_small(loss="color_classification", losses={**losses, "color_classification": changed})
    assert "resuming" not in capsys.readouterr().out
    assert checkpoints() == [checkpoint]
    _, metadata = weights.load(files.weights_path("resnet", "best"))
    assert metadata["loss"] == {"name": "color_classification", "settings": changed}
    train_small(loss="color_classification", losses=losses)
    assert "resuming after epoch 1" in capsys.readouterr().out


def test_a_checkpoint_of_other_code_is_ignored(train_small, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_small(stop=1)
    other = tmp_path / "metrics.py"
    other.write_text(Path(sys.modules["colorpipe.metrics"].__file__).read_text() + "\n# changed\n")
    with monkeypatch.context() as changed:
        changed.setattr(sys.modules["colorpipe.metrics"], "__file__", str(other))
        train_small()
    output = capsys.readouterr().out
    assert "it was made with other code" in output
    assert "resuming" not in output


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-50], lambda content: content[:-9] + b"\1" + content[-8:]]
)
def test_a_corrupt_checkpoint_is_reported_and_ignored(train_small, capsys, damage):
    train_small()
    expected = results(Path(), "resnet")
    with pytest.raises(SystemExit):
        train_small(stop=2)
    (checkpoint,) = checkpoints()
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    train_small()
    output = capsys.readouterr().out
    assert f"{checkpoint} is corrupt: ignored and deleted" in output
    assert "resuming" not in output
    assert results(Path(), "resnet") == expected


def test_partial_files_of_a_killed_write_are_removed(train_small, capsys):
    with pytest.raises(SystemExit):
        train_small(stop=2)
    (checkpoint,) = checkpoints()
    # A checkpoint has this name until its checksum is known.
    (checkpoint.parent / "checkpoint.pt").write_bytes(b"half")
    (checkpoint.parent / ".1.part").write_bytes(b"half")
    train_small()
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert not files.RESUME.exists()


def test_a_folder_in_place_of_a_checkpoint_is_ignored(train_small, capsys):
    with pytest.raises(SystemExit):
        train_small(stop=2)
    (checkpoint,) = checkpoints()
    checkpoint.unlink()
    checkpoint.mkdir()
    train_small()
    assert "resuming" not in capsys.readouterr().out
    assert not files.RESUME.exists()
    files.RESUME.write_text("a file")
    with pytest.raises(UserError, match="runs/resume cannot be written: Not a directory"):
        train_small()


def test_a_checkpoint_keeps_the_memory_layout(tmp_path, monkeypatch):
    """Fused Adam needs moments with the strides of their parameters."""
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
    train_small, monkeypatch
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
        train_small(train=train)
    (checkpoint,) = checkpoints()
    assert [
        metrics["epoch"] for metrics in torch.load(checkpoint, weights_only=True)["history"]
    ] == [1]


@pytest.mark.parametrize(
    ("step", "remedy"),
    [("train_step", r"lower train\.batch_size"), ("eval_step", "lower the data set's size")],
)
def test_exhausted_memory_names_the_batch_size(train_small, monkeypatch, step, remedy):
    monkeypatch.setattr(
        colorization.ColorizationTask, step, lambda task, model, batch: torch.empty(2**60)
    )
    with pytest.raises(UserError, match=rf"out of memory with batches of 64 images .*: {remedy}"):
        train_small()


def test_memory_that_is_exhausted_by_a_checkpoint_names_the_batch_size(train_small, monkeypatch):
    monkeypatch.setattr(resume.Checkpoint, "save", lambda checkpoint, state: torch.empty(2**60))
    with pytest.raises(UserError, match=r"out of memory .*: lower train\.batch_size"):
        train_small()


def test_a_checkpoint_is_kept_until_the_record_of_the_run_is_written(train_small, monkeypatch):
    def fail(*args: object) -> None:
        raise UserError("runs/a.json cannot be written: No space left on device")

    monkeypatch.setattr("colorpipe.training.task.record_run", fail)
    with pytest.raises(UserError, match="No space left"):
        train_small()
    assert len(checkpoints()) == 1
    train_small()
    assert not checkpoints()
