"""The benchmark compares equal computations. No test asserts a time."""

import shutil

import pytest
import torch
from project import ROOT
from torch.utils.data import DataLoader

from benchmarks import notebook, throughput


@pytest.fixture
def small_batches(tmp_path, monkeypatch):
    """Work in a folder whose params have batches of 4 images, float32 and one thread."""
    params = (ROOT / "params.yaml").read_text()
    for key, value, replacement in (
        ("batch_size", "64", "4"),
        ("precision", "bfloat16", "float32"),
        ("threads", "2", "1"),
    ):
        params = params.replace(f"{key}: {value}", f"{key}: {replacement}")
    (tmp_path / "params.yaml").write_text(params)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.chdir(tmp_path)
    throughput.build_colorpipe.cache_clear()
    throughput.build_notebook.cache_clear()


@pytest.mark.parametrize("name", throughput.LOSSES)
def test_the_notebook_and_colorpipe_compute_the_same_loss(small_batches, name):
    images = throughput.draw_images(4)
    model, task, _, _ = throughput.build_colorpipe(name)
    colorpipe_loss = task.metrics(model, (torch.from_numpy(images),))["loss"].item()
    model, loss, device = throughput.build_notebook(name)
    if isinstance(loss, notebook.LPIPS):  # each draws its own VGG-16
        loss.network.net.load_state_dict(task.loss.network.net.state_dict())
    loader = DataLoader(notebook.Photographs(images), batch_size=4)
    (notebook_loss,) = notebook.train(model, loss, loader, device)
    assert notebook_loss == pytest.approx(colorpipe_loss, rel=1e-3)


def test_the_benchmark_writes_its_tables(small_batches, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "LOSSES", {"resnet": "mse"})
    monkeypatch.setattr(throughput, "SIZES", (8, 16))
    monkeypatch.setattr(throughput, "ROUNDS", 2)
    monkeypatch.setattr(throughput, "SECONDS", 0.0)
    throughput.main()
    page = throughput.RESULTS.read_text()
    assert page.strip() == capsys.readouterr().out.strip()
    assert "batch size 4, float32" in page
    lines = [line.split(" | ")[0].strip("| ") for line in page.splitlines() if line[:1] == "|"]
    assert lines == ["colorizer", "---", "resnet", "images", "---", "8", "16"]
