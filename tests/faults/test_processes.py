"""Training in several processes gives the same bytes each time, and one line if it fails."""

import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from project import ROOT
from stages_in_folder import (
    ADVERSARIAL,
    REBALANCED,
    prepare,
    results,
    run,
    start,
    wait_for,
)

from colorpipe import files

EPOCHS = 12


@pytest.fixture
def folder(tmp_path) -> Path:
    return prepare(tmp_path)


def set_params(folder: Path, processes: int, epochs: int = 2) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["processes"], content["datasets"]["photos"]["epochs"] = processes, epochs
    for recipe in (content["train"], *content["recipes"].values()):
        recipe["batch_size"] = 10  # divides 50, so one and two processes take equally many steps
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


def find_workers(parent: subprocess.Popen) -> dict[str, int]:
    """Return the ids of the processes that a stage has started, by rank."""
    workers = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent.pid:
                environment = (folder / "environ").read_bytes().split(b"\0")
                workers |= {
                    entry[5:].decode(): int(folder.name)
                    for entry in environment
                    if entry.startswith(b"RANK=")
                }
        except (FileNotFoundError, ProcessLookupError):
            continue
    return workers


def wait_until_ended(workers: dict[str, int]) -> None:
    """Wait until the processes have ended. A zombie counts as ended."""

    def is_running(worker: int) -> bool:
        try:
            status = Path(f"/proc/{worker}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return status.rpartition(")")[2].split()[0] not in "ZX"

    while any(map(is_running, workers.values())):
        time.sleep(0.01)


def start_until_checkpoint(folder: Path, stage: tuple[str, ...]) -> subprocess.Popen:
    """Start a stage, and return when it has written a checkpoint."""
    process = start(folder, stage)
    wait_for(lambda: [*(folder / files.RESUME).glob("*/[0-9]*-*.pt")], process)
    return process


def progress(name: str) -> tuple[str, ...]:
    """Return the prefixes of the lines that a training prints."""
    return "epoch ", f"{name}: ", "this processor "


def training_losses(contents: dict[str, bytes]) -> list[float]:
    """Return the training loss of each epoch from the results of a stage."""
    (curves,) = (text for name, text in contents.items() if name.endswith(".csv"))
    return pd.read_csv(io.BytesIO(curves))["train_loss"].tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize(("stage", "name"), [(REBALANCED, "unet"), (ADVERSARIAL, "unet_gan")])
def test_two_processes_give_the_same_bytes_in_each_run_and_after_a_kill(folder, stage, name):
    """If one process is killed, both end. The losses are near those of a single process."""
    set_params(folder, 1, EPOCHS)
    run(folder, stage)
    alone = training_losses(results(folder, name))
    set_params(folder, 2, EPOCHS)
    output = run(folder, stage)
    assert " on 2 processes, each on CPU, 1 threads" in output
    assert output.count("epoch 2") == 1
    expected = results(folder, name)
    assert len(expected) == 3
    assert training_losses(expected) == pytest.approx(alone, rel=0.002)
    assert training_losses(expected) != alone
    for killed in ("1", "stage"):
        for path in expected:
            (folder / path).unlink()
        process = start_until_checkpoint(folder, stage)
        workers = find_workers(process)
        os.kill({**workers, "stage": process.pid}[killed], signal.SIGKILL)
        output = process.communicate()[0]
        wait_until_ended(workers)
        lines = [line for line in output.splitlines() if not line.startswith(progress(name))]
        if killed == "stage":
            assert process.returncode == -signal.SIGKILL
            assert lines == []
        else:
            assert process.returncode == 1
            (line,) = lines
            assert line.startswith(
                "error: process 1 of 2 was killed by SIGKILL (possibly out of memory): run"
            )
        assert f"{name}: resuming after epoch " in run(folder, stage)
        assert results(folder, name) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_ctrl_c_ends_all_processes_with_one_line(folder):
    """A terminal sends SIGINT only to the stage. Its processes are in other process groups."""
    set_params(folder, 2, epochs=20)
    process = start_until_checkpoint(folder, REBALANCED)
    workers = find_workers(process)
    assert {os.getpgid(worker) for worker in workers.values()}.isdisjoint({os.getpgid(0)})
    process.send_signal(signal.SIGINT)
    output = process.communicate()[0]
    wait_until_ended(workers)
    assert process.returncode == 130
    last = output.splitlines()[-1]
    assert (
        last == "interrupted: finished epochs are kept in runs/resume; run `dvc repro` to resume"
    ), output
    lines = output.splitlines()[:-1]
    assert [line for line in lines if not line.startswith(progress("unet"))] == []


GRADIENTS = """
    import os

    import torch

    from colorpipe.config import AdversarialConfig
    from colorpipe.inference import prepare_device
    from colorpipe.losses.l1 import L1
    from colorpipe.models.loading import build_colorizer
    from colorpipe.runtime import launch
    from colorpipe.training import processes
    from colorpipe.training.adversarial import AdversarialTask
    from colorpipe.training.colorization import ColorizationTask
    from colorpipe.training.settings import TrainSettings
    from colorpipe.training.state import MODEL

    # With these learning rates, no weight changes by more than its rounding.
    CONFIG = AdversarialConfig(
        discriminator_lr=1e-12, discriminator_epochs=1, loss_weight=0.5, max_relative_mse=1.0
    )
    SETTINGS = TrainSettings(epochs=2, lr=1e-12, batch_size=8, precision="float32", seed=0)

    def train(task, batch, shared):
        torch.manual_seed(0)
        model = build_colorizer("unet", {"widths": [8, 8], "blocks": [1, 1]})
        torch.nn.init.normal_(model.decoder.head.weight, std=0.1)
        state = task.initial_state(model, SETTINGS, batch[0])
        state.history.append({})  # the discriminator trained alone in the first epoch
        for model in state.models.values():
            model.eval()  # BatchNorm would normalize each part separately
        if not shared:
            state.wrapped = state.models
        task.train_step(state, processes.own_part(batch) if shared else batch)
        return {
            f"{name} {parameter}": value.grad.clone()
            for name, model in state.models.items()
            for parameter, value in model.named_parameters()
        }

    if "RANK" not in os.environ:
        launch.run_in_processes(2)
    else:
        prepare_device(0, 1, processes.join(2))
        batch = (torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8),)
        for task in (ColorizationTask(L1(), "float32"), AdversarialTask(CONFIG, L1(), "float32")):
            first, second = processes.gather(train(task, batch, shared=True))
            alone = train(task, batch, shared=False)
            for name, gradient in alone.items():
                assert torch.equal(first[name], second[name]), name
                torch.testing.assert_close(first[name], gradient, rtol=1e-3, atol=1e-6, msg=name)
        processes.leave()
"""


def run_script(folder: Path, code: str) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(textwrap.dedent(code))
    command = [sys.executable, "-m", "script"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_two_processes_have_the_gradients_of_the_whole_batch(tmp_path):
    """The parts of a batch are equal, and BatchNorm is in eval mode."""
    done = run_script(tmp_path, GRADIENTS)
    assert (done.returncode, done.stderr) == (0, "")


FAILING = """
    import os
    import time

    import torch

    from colorpipe.runtime import launch
    from colorpipe.runtime.errors import UserError
    from colorpipe.runtime.process import run_main
    from colorpipe.inference import prepare_device
    from colorpipe.training import processes

    def main():
        if "RANK" not in os.environ:
            launch.run_in_processes(2)
            return
        # NCCL waits here for the other processes, and they wait for this one.
        torch.distributed.destroy_process_group = lambda: time.sleep(600)
        prepare_device(0, 1, processes.join(2))
        if processes.rank() == 1:
            raise {error}
        processes.gather(None)

    if __name__ == "__main__":
        run_main(main)
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            "UserError('the disk is full: free some space')",
            "error: process 1 of 2: the disk is full: free some space",
        ),
        (
            "MemoryError()",
            "error: process 1 of 2: out of memory (MemoryError): use smaller data or images, or a "
            "machine with",
        ),
    ],
)
def test_a_failing_process_ends_all_processes_with_its_error(tmp_path, error, line):
    done = run_script(tmp_path, FAILING.format(error=error))
    assert done.returncode == 1
    assert done.stdout == ""
    (output,) = done.stderr.splitlines()
    assert output.startswith(line)


def test_two_torchrun_nodes_give_the_same_bytes_as_one(folder):
    """Both nodes use the loopback address. The second one writes nothing."""
    set_params(folder, 2)
    run(folder, REBALANCED)
    expected = results(folder, "unet")
    for path in expected:
        (folder / path).unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    rendezvous = ["--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *rendezvous]
    nodes = [
        subprocess.Popen(
            [*torchrun, "-m", "stages.train", *REBALANCED[1:]],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert sorted("epoch 2" in output for output in outputs) == [False, True]
    assert results(folder, "unet") == expected


def test_a_launcher_that_starts_another_number_of_processes_is_named(folder):
    set_params(folder, 1)
    process = start(folder, REBALANCED, RANK="0", WORLD_SIZE="2")
    assert process.communicate()[0] == (
        "error: process 0 of 2: params.yaml: processes is 1, but the launcher started 2: set "
        "processes to 2, or let the launcher start 1\n"
    )
    assert process.returncode == 1
