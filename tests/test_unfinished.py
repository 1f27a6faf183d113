"""A training that is killed, interrupted or whose state is damaged: real processes, real kills, the same bits at the end."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from project import ROOT

from colorpipe import checkpoints, colorization, params, paths, training, unfinished
from colorpipe.errors import UserError

TRAIN = ("train", "resnet", "--model", "resnet18", "--data", "photos", "--loss", "mse")
PRETEXT = ("pretext", "xavier", "--data", "photos", "--start", "data/photos/weights/xavier.safetensors")
EPOCHS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with params, and prepared arrays of random images, with classes."""
    root = tmp_path_factory.mktemp("unfinished")
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["datasets"]["photos"]["epochs"] = EPOCHS
    content["threads"] = 1
    content["train"]["batch_size"] = 16
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    (root / "data/photos/weights").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        np.save(root / f"data/photos/{part}.npy", rng.integers(0, 256, (50, 3, 32, 32), dtype=np.uint8))
        np.save(root / f"data/photos/{part}_labels.npy", rng.integers(0, 2, 50))
    (root / "data/photos/classes.json").write_text('["a", "b"]')
    for name in ("resnet18", "mse", "xavier"):
        checkpoints.save(root / f"data/photos/weights/{name}.safetensors", {}, {"weights": "random"})
    return root


def start(folder: Path, stage: tuple[str, ...], **environment: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def results(folder: Path, name: str) -> dict[str, bytes]:
    found = [paths.curves(name), paths.metrics(name), paths.checkpoint(name, "best"), paths.checkpoint(name, "last")]
    return {str(path): (folder / path).read_bytes() for path in found if (folder / path).exists()}


def wait_for_a_state(repository: Path, after: set[Path]) -> None:
    until = time.monotonic() + 60
    while not {*(repository / paths.UNFINISHED).glob("*/*.safetensors")} - after:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("stage", "name", "signals", "copied"),
    [(TRAIN, "resnet", (signal.SIGINT, signal.SIGKILL), False), (PRETEXT, "pretext/xavier", (signal.SIGKILL,), True)],
)
def test_killed_or_interrupted_it_ends_as_if_never_stopped(folder, tmp_path, stage, name, signals, copied):
    """In the repository's folder, and in a copy of it, where DVC runs an experiment and names the repository."""
    repository = tmp_path if copied else folder
    environment = {"DVC_ROOT": str(repository)} if copied else {}
    whole = start(folder, stage)
    output = whole.communicate(timeout=120)[0]
    assert whole.returncode == 0, output
    expected = results(folder, name)
    assert len(expected) >= 3
    for path in expected:
        (folder / path).unlink()

    moments = random.Random(0)
    for sent in signals:
        process = start(folder, stage, **environment)
        wait_for_a_state(repository, {*(repository / paths.UNFINISHED).glob("*/*.safetensors")})
        time.sleep(moments.uniform(0, 0.3))
        process.send_signal(sent)
        output = process.communicate(timeout=60)[0]
        if sent == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 130
            assert "Traceback" not in output
            assert (
                output.splitlines()[-1]
                == f"interrupted: {name}: its epochs are kept in runs/unfinished: `dvc repro` goes on"
            )
        for path in expected:  # as DVC does before it runs a stage again
            (folder / path).unlink(missing_ok=True)
    last = start(folder, stage, **environment)
    output = last.communicate(timeout=120)[0]
    assert f"{name}: goes on after epoch " in output
    assert results(folder, name) == expected
    assert not (repository / paths.UNFINISHED).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="no other system can tell a process that its parent was killed")
def test_a_stage_ends_with_the_dvc_that_runs_it():
    code = "import time; from colorpipe import errors; errors.run(lambda: (print('up', flush=True), time.sleep(100)))"
    runs = f"""import subprocess; subprocess.run(["/bin/sh", "-c", "exec '{sys.executable}' -c \\"$CODE\\""])"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "train@resnet", "CODE": code}
    parent = subprocess.Popen([sys.executable, "-c", runs], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    assert parent.communicate(timeout=30)[0] == ""  # the pipe ends when the child, too, is gone
    commands = re.findall(r"cmd: (.*)", (ROOT / "dvc.yaml").read_text())
    assert len(commands) == 7
    assert all(command.startswith("exec python -m ") for command in commands)  # no shell stands between


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Train a colorizer for two epochs, in this process, from a folder of its own; what it is called with."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        path = paths.images("photos", part)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.integers(0, 256, (20, 3, 16, 16), dtype=np.uint8))
    for name in ("resnet18", "mse"):
        checkpoints.save(paths.weights("photos", name), {}, {"weights": "random"})
    found = params.load(ROOT / "params.yaml")

    def train(epochs: int = 3, stop: int = 0, **changes: object) -> None:
        photos = found.datasets.photos.model_copy(update={"epochs": epochs})
        update = {"datasets": found.datasets.model_copy(update={"photos": photos}), "threads": 1, **changes}
        if stop:
            monkeypatch.setattr(training, "evaluate", stopping(training.evaluate, stop))
        try:
            colorization.train("resnet", "resnet18", "photos", "mse", found.model_copy(update=update))
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


def states() -> list[Path]:
    return sorted(paths.UNFINISHED.glob("*/*.safetensors"))


def test_a_state_of_other_params_or_data_is_not_used(small, capsys):
    with pytest.raises(SystemExit):
        small(stop=2)
    (state,) = states()
    small(seed=3)
    said = capsys.readouterr().out
    assert f"resnet: {state.parent} is of other code, params, data or hardware: not used" in said
    assert "goes on" not in said
    assert states() == [state]  # the other training may still go on
    small(threads=2)
    assert "goes on" not in capsys.readouterr().out
    images = np.load(paths.images("photos", "train"))
    images[0, 0, 0, 0] ^= 1
    np.save(paths.images("photos", "train"), images)
    small()
    assert "goes on" not in capsys.readouterr().out
    images[0, 0, 0, 0] ^= 1
    np.save(paths.images("photos", "train"), images)
    small()
    assert "resnet: goes on after epoch 2" in capsys.readouterr().out
    assert states() == []


def test_a_state_of_other_code_is_not_used(small, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        small(stop=1)
    other = tmp_path / "metrics.py"
    other.write_text(Path(sys.modules["colorpipe.metrics"].__file__).read_text() + "\n# changed\n")
    with monkeypatch.context() as changed:
        changed.setattr(sys.modules["colorpipe.metrics"], "__file__", str(other))
        small()
    said = capsys.readouterr().out
    assert "is of other code" in said
    assert "goes on" not in said


@pytest.mark.parametrize("damage", [lambda content: content[:-50], lambda content: content[:-9] + b"\1" + content[-8:]])
def test_a_damaged_state_is_said_and_not_used(small, capsys, damage):
    small()
    expected = results(Path(), "resnet")
    with pytest.raises(SystemExit):
        small(stop=2)
    (state,) = states()
    state.write_bytes(damage(state.read_bytes()))
    small()
    said = capsys.readouterr().out
    assert f"{state} is damaged: not used" in said
    assert "goes on" not in said
    assert results(Path(), "resnet") == expected


def test_what_a_kill_in_a_write_left_goes_with_the_state(small, capsys):
    with pytest.raises(SystemExit):
        small(stop=2)
    (state,) = states()
    (state.parent / ".tmpAbCdEf").write_bytes(b"half")  # as safetensors calls what it has not finished
    (state.parent / ".1.part").write_bytes(b"half")
    small()
    assert "goes on after epoch 2" in capsys.readouterr().out
    assert not paths.UNFINISHED.exists()


def test_what_stands_in_a_states_place_is_not_taken(small, capsys):
    with pytest.raises(SystemExit):
        small(stop=2)
    (state,) = states()
    state.unlink()
    state.mkdir()
    small()
    assert "goes on" not in capsys.readouterr().out
    assert not paths.UNFINISHED.exists()
    paths.UNFINISHED.write_text("a file")
    with pytest.raises(UserError, match="runs/unfinished cannot be written: Not a directory"):
        small()


def test_the_state_is_laid_out_as_the_parameters_are():
    """The fused step of Adam takes it for granted."""
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    progress = unfinished.Progress(model, optimizer, torch.Generator())
    progress.curves.append({"epoch": 1})
    progress.mark_best()
    kept = {
        "model.": model.state_dict(),
        **{f"optimizer.{n}.": state for n, state in optimizer.state_dict()["state"].items()},
        "random.": {"order": torch.Generator().get_state(), "torch": torch.get_rng_state()},
    }
    tensors = {prefix + name: tensor.contiguous() for prefix, part in kept.items() for name, tensor in part.items()}
    again = torch.optim.Adam(model.parameters(), fused=True)
    about = {"curves": [[["epoch", 1]]], "best_epoch": 1, "seconds": 5.0}
    unfinished.State("x", "k")._put(unfinished.Progress(model, again, torch.Generator()), tensors, about)
    moment = again.state[model.weight]["exp_avg"]
    assert moment.stride() == model.weight.stride()
    assert torch.equal(moment, optimizer.state[model.weight]["exp_avg"])


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_leaves_the_last_state(small, monkeypatch):
    measure = colorization.task

    def poisoned(*arguments):
        inner, steps = measure(*arguments), iter(range(6))

        def measured(model, batch):
            found = inner(model, batch)
            if model.training and next(steps, None) is None:
                found["loss"] = found["loss"] * float("nan")
            return found

        return measured

    monkeypatch.setattr(colorization, "task", poisoned)
    train = params.load(ROOT / "params.yaml").train.model_copy(update={"batch_size": 5})
    with pytest.raises(UserError, match=r"the loss is nan in epoch 2, step 3: stopped; .*bfloat16 too coarse"):
        small(train=train)
    (state,) = states()
    assert [dict(row)["epoch"] for row in checkpoints.load(state)[1]["curves"]] == [1]


def test_no_memory_names_the_batch_size(small, monkeypatch):
    def greedy(*arguments):
        return lambda model, batch: torch.empty(2**60)

    monkeypatch.setattr(colorization, "task", greedy)
    with pytest.raises(UserError, match=r"out of memory at a batch of 64 images .*: lower train\.batch_size"):
        small()
