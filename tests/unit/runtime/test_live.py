"""Live metrics of a running training."""

import json

import pytest

from colorpipe import files
from colorpipe.runtime.live import live_metrics
from colorpipe.training.task import record_run


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "train_loss": 10.0 / epoch, "val_batch_ssim": 0.5}


def read_metrics() -> dict:
    return json.loads((files.LIVE / "metrics.json").read_text())


def test_live_metrics_exist_during_training_and_are_empty_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with live_metrics(files.LIVE, "resnet") as log:
        log(row(1))
        assert read_metrics() == {
            "training": "resnet",
            "epoch": 1,
            "train": {"loss": 10.0},
            "val": {"batch_ssim": 0.5},
            "step": 0,
        }
        log(row(2))
        assert read_metrics()["train"]["loss"] == 5.0
    assert read_metrics() == {}
    curve = (files.LIVE / "plots/metrics/train/loss.tsv").read_text().splitlines()
    assert curve == ["step\tloss", "0\t10.0", "1\t5.0"]


def test_live_metrics_are_empty_after_an_interrupt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted() -> None:
        with live_metrics(files.LIVE, "resnet") as log:
            log(row(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert read_metrics() == {}


def test_a_record_belongs_to_the_content_of_a_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tmp_path / "curves.csv"
    result.write_text("one")
    record_run(result, 60.0, {"threads": 2})
    result.write_text("another")
    assert not files.run_record_path(result.read_bytes()).exists()
    result.write_text("one")
    record = json.loads(files.run_record_path(result.read_bytes()).read_text())
    assert record["seconds"] == 60.0
    assert {"finished", "hardware", "commit", "Python"} <= record.keys()
