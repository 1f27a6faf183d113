"""Live metrics of a running training, and the record of its run."""

import json

import pytest

from colorpipe import files
from colorpipe.runtime import live


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "train_loss": 10.0 / epoch, "val_batch_ssim": 0.5}


def newest() -> dict:
    return json.loads((files.LIVE / "metrics.json").read_text())


def test_live_metrics_are_there_during_training_and_empty_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with live.logging("resnet", lambda: 60.0) as log:
        log([row(1)])
        assert newest() == {
            "training": "resnet",
            "epoch": 1,
            "train": {"loss": 10.0},
            "val": {"batch_ssim": 0.5},
            "step": 0,
        }
        log([row(1), row(2)])
        assert newest()["train"]["loss"] == 5.0
        assert files.curves_path("resnet").read_text().splitlines()[1:] == [
            "1,10.0,0.5",
            "2,5.0,0.5",
        ]
    assert newest() == {}
    assert (files.LIVE / "plots/metrics/train/loss.tsv").read_text().splitlines() == [
        "step\tloss",
        "0\t10.0",
        "1\t5.0",
    ]
    record = json.loads(files.run_record_path(files.curves_path("resnet")).read_text())
    assert record["seconds"] == 60
    assert record["torch"].startswith("2.")
    assert {"finished", "hardware", "commit", "Python"} <= record.keys()


def test_a_failed_training_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted() -> None:
        with live.logging("resnet", lambda: 60.0) as log:
            log([row(1)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert newest() == {}
    assert not files.RUNS.exists()


def test_a_record_belongs_to_one_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tmp_path / "curves.csv"
    result.write_text("one")
    live.record_run(result, 60.0)
    result.write_text("another")
    assert not files.run_record_path(result).exists()
    result.write_text("one")
    assert json.loads(files.run_record_path(result).read_text())["seconds"] == 60.0
