"""A full disk, an unwritable folder, and a missing or damaged file, in each stage."""

import contextlib
import errno
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from limits import no_file_larger_than
from project import ROOT

from colorpipe.runtime.process import run_main
from stages import evaluate

STAGES = {  # in their order, with the arguments and the output folders of each
    "check": ([], ["data"]),
    "download": (["photos"], ["data/photos", "data/photos/weights"]),
    "split": (["photos"], ["data/photos"]),
    "train": (
        [
            *(
                "resnet",
                "--step",
                "colorization",
                "--model",
                "resnet18",
                "--data",
                "photos",
                "--loss",
                "mse",
            ),
            *("--recipe", "train", "--start-from", "data/photos/weights/resnet18.safetensors"),
        ],
        ["models/resnet", "curves"],
    ),
    "evaluate": (
        ["resnet", "--data", "photos", "--loss", "mse"],
        ["metrics", "evaluations", "grids", "galleries"],
    ),
    "baseline": (
        ["gray", "--data", "photos", "--loss", "mse"],
        ["metrics/baseline", "evaluations/baseline"],
    ),
    "encoders": (
        ["data/photos/weights/resnet18.safetensors"],
        ["models/imagenet", "models/random", "models/xavier"],
    ),
    "pretext": (
        ["xavier", "--mode", "finetune", "--labels", "100", "--data", "photos"],
        [
            "models/pretext/xavier-finetune-100",
            "curves/pretext",
            "metrics/pretext",
            "evaluations/pretext",
        ],
    ),
    "report": ([], ["report"]),
}
# All stages but split, which reads from the folder that it writes to.
WRITES = [
    (stage, folder)
    for stage, (_, folders) in STAGES.items()
    for folder in folders
    if stage != "split"
]


def run(stage: str) -> str:
    """Run a stage in this process, and return its last line, or "" if it succeeded."""
    module = importlib.import_module(f"stages.{stage}")
    sys.argv = [f"stages.{stage}", *STAGES[stage][0]]
    try:
        run_main(module.main)
    except SystemExit as end:
        return str(end.code)
    return ""


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    """A folder in which every stage has run on a few images."""
    root = tmp_path_factory.mktemp("faults") / "project"
    root.mkdir()
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["datasets"]["photos"]["epochs"] = 1
    content["threads"] = 1
    content["pretext"]["inits"] = ["xavier"]
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    for stage, name in (("train", "resnet"), ("baseline", "gray")):
        table = pipeline["stages"][stage]["foreach"]
        pipeline["stages"][stage]["foreach"] = {name: table[name]}
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    before, arguments = Path.cwd(), sys.argv
    os.chdir(root)
    try:
        for stage in STAGES:
            assert run(stage) == ""
            if stage == "split":
                for part in ("train", "val", "test"):
                    for path in (
                        Path(f"data/photos/{part}.npy"),
                        Path(f"data/photos/{part}_labels.npy"),
                    ):
                        np.save(path, np.load(path)[:40])
    finally:
        os.chdir(before)
        sys.argv = arguments
    return root


@pytest.fixture
def project(finished_run, tmp_path, monkeypatch) -> Path:
    """Copy the finished run, and make the copy the working folder."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    root = Path(shutil.copytree(finished_run, tmp_path / "project"))
    monkeypatch.chdir(root)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Return the content of all files outside live/ and runs/."""
    paths = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in paths.items()
        if name.split("/")[0] not in ("live", "runs")
    }


def run_and_fail(stage: str, named: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Run a stage that must fail with one line. Return the files before and after."""
    before = contents(Path())
    output = run(stage)
    assert output.startswith("error: ")
    assert named in output
    assert "\n" not in output
    return before, contents(Path())


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_leaves_whole_files_alone(project, stage, capsys):
    before = contents(project)
    with no_file_larger_than(10 if stage == "check" else 50):
        output = run(stage)
    assert output.startswith("error: ")
    assert os.strerror(errno.EFBIG) in output
    assert "\n" not in output
    assert contents(project) == before


def test_a_wrong_argument_is_named(project, capsys):
    sys.argv = ["stages.evaluate", "resnet", "--data", "photos", "--loss", "huber"]
    with pytest.raises(
        SystemExit, match=r"losses\.'huber': colorpipe/losses/huber\.py is missing or has no"
    ):
        run_main(evaluate.main)
    before = contents(project.parent)
    for stage, (arguments, _) in STAGES.items():
        for number, argument in enumerate(arguments):
            if not argument.startswith("-") and "/" not in argument:
                sys.argv = [
                    f"stages.{stage}",
                    *arguments[:number],
                    "../../x",
                    *arguments[number + 1 :],
                ]
                with pytest.raises(SystemExit):
                    run_main(importlib.import_module(f"stages.{stage}").main)
                output = capsys.readouterr().err
                assert (
                    "'../../x' is not a name" in output
                    or "--labels: invalid int value: '../../x'" in output
                    or "--step: invalid choice: '../../x'" in output
                    or "--mode: invalid choice: '../../x'" in output
                )
    assert contents(project.parent) == before


@pytest.mark.parametrize(("stage", "folder"), WRITES)
def test_a_folder_that_cannot_be_written_is_named(project, stage, folder):
    """Replace the folder with a file, because root can write into a read-only folder."""
    shutil.rmtree(folder)
    Path(folder).parent.mkdir(exist_ok=True, parents=True)
    Path(folder).write_text("a file")
    before, after = run_and_fail(stage, folder)
    assert {name: after[name] for name in before if name in after and name.startswith(folder)} == {
        folder: b"a file"
    }
    assert not [name for name in after if name.endswith(".part")]


def test_live_metrics_that_cannot_be_written_are_named(project):
    shutil.rmtree("live")
    Path("live").write_text("a file")
    before, after = run_and_fail("train", "live cannot be written: ")
    assert not set(after) - set(before)


INPUTS = {
    "download": ["data/names.json"],
    "split": ["data/photos/source.json"],
    "train": [
        "data/photos/train.npy",
        "data/photos/val.npy",
        "data/photos/colors.npy",
        "data/photos/weights/resnet18.safetensors",
    ],
    "evaluate": [
        "models/resnet/best.safetensors",
        "data/photos/weights/lpips.safetensors",
        "data/photos/test.npy",
        "data/photos/test_labels.npy",
        "data/photos/colors.npy",
        "data/photos/weights/mse.safetensors",
    ],
    "encoders": ["data/photos/weights/resnet18.safetensors"],
    "pretext": [
        "data/photos/classes.json",
        "data/photos/test_labels.npy",
        "models/xavier/best.safetensors",
    ],
    "baseline": ["data/photos/test.npy", "data/photos/weights/mse.safetensors"],
    "report": [
        "data/names.json",
        "metrics/resnet.json",
        "metrics/baseline/gray.json",
        "curves/resnet.csv",
        "evaluations/resnet.json",
        "grids/resnet.png",
        "galleries/resnet.json",
        "curves/pretext/xavier-finetune-100.csv",
    ],
}


@pytest.mark.parametrize(
    ("stage", "file"), [(stage, file) for stage, files in INPUTS.items() for file in files]
)
@pytest.mark.parametrize("damage", ["gone", "empty", "garbage"])
def test_a_file_that_is_gone_or_damaged_is_named(project, stage, file, damage):
    if damage == "gone":
        Path(file).unlink()
    else:
        Path(file).write_bytes(b"" if damage == "empty" else b"\x93garbage\0\xff" * 20)
    before, after = run_and_fail(stage, file)
    assert {name for name in after if after[name] != before.get(name)} <= {"report/overview.png"}


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_and_a_read_only_file_system_are_named(project, small_disk):
    shutil.rmtree("models/resnet")
    Path("models/resnet").symlink_to(small_disk)
    assert run("train").startswith(
        "error: models/resnet/best.safetensors cannot be written: No space left on device"
    )
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert run("train").startswith(
        "error: models/resnet/best.safetensors cannot be written: Read-only file system"
    )
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    Path("models/resnet").unlink()
    shutil.rmtree("live")
    Path("live").symlink_to(small_disk)
    with contextlib.suppress(OSError), (small_disk / "all").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert run("train").startswith(
        "error: live cannot be written: No space left on device; fix that"
    )


def test_a_missing_package_is_named_in_one_line():
    code = "from colorpipe.runtime.process import run_main; run_main(lambda: __import__('no_such'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {sys.executable} has no package no_such: delete .venv if it exists, "
        "run `make setup` and "
        "`source .venv/bin/activate`, then run the command again\n"
    )


def test_a_closed_output_pipe_is_not_an_error():
    code = (
        "from colorpipe.runtime.process import run_main; "
        "run_main(lambda: print('line\\n' * 1_000_000))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert writer.stdout.readline() == b"line\n"
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    writer.wait()
