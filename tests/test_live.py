"""The progress of a training while it goes on, and what is known of it afterwards."""

import json

import pytest

from colorpipe import live, paths
from colorpipe.unfinished import State


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "train_loss": 10.0 / epoch, "val_batch_ssim": 0.5}


def newest() -> dict:
    return json.loads((paths.LIVE / "metrics.json").read_text())


def test_progress_is_there_while_it_trains_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with live.training("resnet", State("resnet", "0" * 16)) as log:
        log([row(1)])
        assert newest() == {"training": "resnet", "epoch": 1, "train": {"loss": 10.0}, "val": {"batch_ssim": 0.5}, "step": 0}
        log([row(1), row(2)])
        assert newest()["train"]["loss"] == 5.0
        assert paths.curves("resnet").read_text().splitlines()[1:] == ["1,10.0,0.5", "2,5.0,0.5"]
    assert newest() == {}
    assert (paths.LIVE / "plots/metrics/train/loss.tsv").read_text().splitlines() == ["step\tloss", "0\t10.0", "1\t5.0"]
    about = json.loads(paths.record(paths.curves("resnet")).read_text())
    assert about["seconds"] > 0
    assert about["torch"].startswith("2.")
    assert {"finished", "hardware", "commit", "Python"} <= about.keys()


def test_what_failed_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted() -> None:
        with live.training("resnet", State("resnet", "0" * 16)) as log:
            log([row(1)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert newest() == {}
    assert not paths.RUNS.exists()


def test_a_record_is_that_of_the_very_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tmp_path / "curves.csv"
    result.write_text("one")
    live.record(result, 60.0)
    result.write_text("another")
    assert not paths.record(result).exists()
    result.write_text("one")
    assert json.loads(paths.record(result).read_text())["seconds"] == 60.0
