"""One training on several processes gives the same bytes as on one, and ends if one ends."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from project import ROOT
from stages_in_folder import (
    ADVERSARIAL,
    PRETEXT,
    REBALANCED,
    prepare,
    results,
    run,
    start,
    wait_for,
)

from colorpipe import files

EVALUATE = ("evaluate", "unet", "--data", "photos", "--loss", "mse")


@pytest.fixture
def folder(tmp_path) -> Path:
    return prepare(tmp_path)


def set_params(folder: Path, processes: int, shards: int = 1, epochs: int = 2) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["processes"], content["datasets"]["photos"]["epochs"] = processes, epochs
    for recipe in (content["train"], *content["recipes"].values()):
        recipe["shards"] = shards
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("stage", "name", "shards", "counts"),
    [
        (
            REBALANCED,
            "unet",
            3,
            (1, 3),
        ),  # parts of 6, 5 and 5 images; a schedule and an average of the weights
        (ADVERSARIAL, "unet_gan", 2, (1, 2)),
        (PRETEXT, "pretext/xavier-finetune-100", 4, (1, 2)),
    ],
)
def test_the_number_of_processes_does_not_change_a_byte(folder, stage, name, shards, counts):
    found = []
    for count in counts:
        set_params(folder, count, shards)
        said = run(folder, stage)
        assert (f" on {count} processes, each on CPU, 1 threads" in said) == (count > 1)
        assert said.count("epoch 2") == 1
        found.append(results(folder, name))
    assert len(found[0]) >= 3
    assert found[0] == found[1]
    set_params(folder, 1, 1)
    run(folder, stage)
    assert results(folder, name) != found[0]  # while the number of parts does


def test_the_number_of_processes_does_not_change_a_test(folder):
    set_params(folder, 1)
    run(folder, REBALANCED)
    found = []
    for count in (1, 2):
        set_params(folder, count)
        run(folder, EVALUATE)
        written = [
            files.metrics_path("unet"),
            files.evaluation_path("unet"),
            files.gallery_path("unet"),
            files.grid_path("unet"),
        ]
        found.append([(folder / path).read_bytes() for path in written])
    assert found[0] == found[1]
    assert files.read_json(folder / files.evaluation_path("unet"))["n"] == 150  # three batches


def processes_of(parent: subprocess.Popen) -> dict[str, int]:
    """The processes that a stage has started, by their rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent.pid:
                environment = (folder / "environ").read_bytes().split(b"\0")
                found |= {
                    entry[5:].decode(): int(folder.name)
                    for entry in environment
                    if entry.startswith(b"RANK=")
                }
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_killed_process_ends_all_and_another_number_of_them_resumes(folder):
    set_params(folder, 1, shards=2, epochs=20)
    run(folder, REBALANCED)
    expected = results(folder, "unet")
    for path in expected:
        (folder / path).unlink()
    set_params(folder, 2, shards=2, epochs=20)
    process = start(folder, REBALANCED)
    wait_for(lambda: [*(folder / files.RESUME).glob("*/[0-9]*-*.pt")], process)
    workers = processes_of(process)
    os.kill(workers["1"], signal.SIGKILL)
    output = process.communicate()[0]
    assert process.returncode == 1
    (line,) = (
        line
        for line in output.splitlines()
        if not line.startswith(("epoch ", "unet: ", "this processor "))
    )
    assert line.startswith(
        "error: process 1 of 2 was killed by SIGKILL (possibly out of memory): run"
    )
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers.values())
    set_params(folder, 1, shards=2, epochs=20)
    assert "unet: resuming after epoch " in run(folder, REBALANCED)
    assert results(folder, "unet") == expected


def test_ctrl_c_ends_all_with_one_line(folder):
    set_params(folder, 2, shards=2, epochs=20)
    process = start(folder, REBALANCED)
    wait_for(lambda: [*(folder / files.RESUME).glob("*/[0-9]*-*.pt")], process)
    for each in (process.pid, *processes_of(process).values()):  # as a terminal does
        os.kill(each, signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 130
    last = output.splitlines()[-1]
    assert (
        last == "interrupted: finished epochs are kept in runs/resume; run `dvc repro` to resume"
    ), output
    assert "Traceback" not in output


FAILING = """
    from colorpipe.runtime import launch
    from colorpipe.runtime.errors import UserError
    from colorpipe.runtime.process import run_main
    from colorpipe.inference import prepare_device
    from colorpipe.training import processes

    def work():
        prepare_device(0, 1, processes.join())
        if processes.rank() == 1:
            raise {error}
        processes.wait()
        processes.wait()

    if __name__ == "__main__":
        run_main(lambda: launch.share_out(work, 2, 2))
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
            "error: process 1 of 2: out of memory (MemoryError): use smaller data or images, or a machine with",
        ),
    ],
)
def test_a_process_that_fails_ends_all_with_its_line(tmp_path, error, line):
    (tmp_path / "failing.py").write_text(textwrap.dedent(FAILING).format(error=error))
    command = [sys.executable, "-m", "failing"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith(line)


def test_two_nodes_that_torchrun_starts(folder):
    """On the loopback address; the second node writes nothing."""
    set_params(folder, 1, shards=2)
    run(folder, REBALANCED)
    expected = results(folder, "unet")
    for path in expected:
        (folder / path).unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rendezvous = (
        f"--nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint 127.0.0.1:{port}"
    )
    launcher = f"{shlex.quote(sys.executable)} -m torch.distributed.run {rendezvous}"
    nodes = [start(folder, REBALANCED, COLORPIPE_LAUNCHER=launcher) for _ in range(2)]
    outputs = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert sorted("epoch 2" in output for output in outputs) == [False, True]
    assert results(folder, "unet") == expected


def test_processes_that_cannot_share_the_parts_evenly_are_refused(folder):
    set_params(folder, 1, shards=3)
    environment = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment["MASTER_PORT"] = str(free.getsockname()[1])
    both = [start(folder, REBALANCED, **environment | {"RANK": rank}) for rank in ("0", "1")]
    for rank, process in enumerate(both):
        line = process.communicate()[0].splitlines()[-1]
        assert line.startswith(
            f"error: process {rank} of 2: train.shards: 3 parts cannot be divided evenly among 2"
        )
        assert process.returncode == 1
