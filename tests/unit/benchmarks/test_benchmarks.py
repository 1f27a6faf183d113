"""The benchmarks compare the same thing: the notebook's training learns what colorpipe's does. No test asserts a time."""

import json
import shutil

import numpy as np
import pytest
import torch
from archives import PRIOR
from project import ROOT
from stages_in_folder import forked
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from benchmarks import memory, notebook, operations, startup, throughput, worker
from colorpipe import files, weights
from colorpipe.losses import lpips


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Random images where `make bench` has the bundled photographs."""
    rng = np.random.default_rng(0)
    data = tmp_path / "data/photos"
    data.mkdir(parents=True)
    np.save(data / "prior.npy", PRIOR.numpy())
    np.save(data / "train.npy", rng.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8))
    np.save(data / "train_labels.npy", rng.integers(0, 8, 24))
    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text().replace("batch_size: 64", "batch_size: 4")
    )
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return files.images_path("photos", "train")


@pytest.mark.parametrize("task", ["resnet", "eccv", "resnet_lpips", "classifier"])
def test_both_ways_train_on_the_same_loss(photos, task, monkeypatch):
    device = torch.device("cpu")
    arrays = worker.images(4)
    model = worker.network(task, 0).to(memory_format=torch.channels_last).train()
    ours = (
        worker.build_task(task, "float32")
        .metrics(model, tuple(map(torch.from_numpy, arrays)))["loss"]
        .item()
    )
    if task == "resnet_lpips":  # the package draws another VGG: load ours
        package = notebook.lpips_package()
        package.net.load_state_dict(
            lpips.build({}, {"weights": "random", "random_seed": 0}, PRIOR).package.net.state_dict()
        )
        monkeypatch.setattr(notebook, "lpips_package", lambda: package)
    loader = DataLoader(notebook.Photos(*arrays), batch_size=4)
    ((count, theirs),) = notebook.train(
        notebook.plain(worker.network(task, 0)), task, loader, device
    )
    assert count == 4
    assert theirs == pytest.approx(ours, rel=1e-3)


class Waits(TorchDispatchMode):
    """Records what would copy from a GPU or to it, and wait for it: a number read, a constant made, places looked up."""

    NAMES = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.NAMES:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "task", ["resnet", "resnet_lpips", "eccv_rebalanced", "unet", "unet_gan", "classifier"]
)
def test_nothing_in_a_step_waits_for_a_gpu(photos, task):
    side = worker.Colorpipe(task)
    side.speed(1)  # makes the constants that later steps find
    batch = tuple(map(torch.from_numpy, worker.images(4)))
    with Waits() as waits:
        side.task.train_step(side.state, [batch])
    assert not waits.found
    with Waits() as waits:
        assert torch.tensor(1.0).item() == 1
    assert len(waits.found) == 2


@pytest.fixture
def workers(photos, monkeypatch):
    """The same, for workers that need not import torch again."""
    for name, value in forked().items():
        monkeypatch.setenv(name, value)
    return photos


def test_the_throughput_of_a_task(workers):
    (row,) = throughput.measure(1, {"resnet": 2}).rows
    assert row["raw"]["rounds"][0].keys() == set(throughput.WAYS)
    assert all(value > 0 for value in row["raw"]["rounds"][0].values())
    assert sum(row["raw"]["shares"].values()) == pytest.approx(1)
    assert row["raw"]["shares"]["convolutions"] > 0  # how much is for a quiet machine to say


def test_a_worker_that_ends_is_said(workers):
    workers.unlink()
    with pytest.raises(
        RuntimeError, match=r"benchmarks\.worker resnet colorpipe ended without an answer"
    ):
        throughput.measure(1, {"resnet": 2})


def test_lpips_and_lab_are_those_of_the_packages(photos):
    package, fast, exact, lowered = operations.perceptual(1).rows
    for row, tolerance in ((package, 1e-3), (fast, 0.05), (exact, 1e-3), (lowered, 0.05)):
        assert float(row["relative error of the value"]) < tolerance, row
    assert float(exact["of the gradient"]) < 1e-2
    ours, *others = operations.lab(1).rows
    assert float(ours["largest error (Lab units)"]) < 1e-3
    assert all(float(other["largest error (Lab units)"]) < 0.1 for other in others)


def test_memory_is_of_the_stage_itself(photos, tmp_path):
    (tmp_path / "data/photos/weights").mkdir()
    for name in ("none", "mse"):
        weights.save(files.init_weights_path("photos", name), {}, {"weights": "random"})
    (row,) = memory.measure((24,)).rows
    assert 0 < row["raw"]["peak"] - row["raw"]["torch"] < 4e9
    assert row["raw"]["arrays"] > 24 * 3 * 32 * 32


def test_startup_measures_every_stage(monkeypatch):
    monkeypatch.chdir(ROOT)
    asked = []
    monkeypatch.setattr(startup.subprocess, "run", lambda command, **options: asked.append(command))
    rows = startup.measure(2).rows
    stages = {f"imports of {path.stem}" for path in ROOT.glob("stages/[a-z]*.py")} - {
        "imports of baseline"
    }  # as evaluate
    assert stages < {row["process"] for row in rows}
    assert len(asked) == 3 * len(rows)


def test_the_committed_results_are_what_the_page_shows():
    results = json.loads((ROOT / "benchmarks/results.json").read_text())
    page = (ROOT / "benchmarks/RESULTS.md").read_text()
    for title, rows in results.items():
        if title != "about":
            assert f"## {title}" in page
            for row in rows:
                assert (
                    "| " + " | ".join(str(cell) for key, cell in row.items() if key != "raw") + " |"
                    in page
                )
