import math

import pandas as pd
import pytest

from colorpipe import files
from colorpipe.report import results
from colorpipe.runtime.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, run):
    files.write_json(files.metrics_path(name), {"test": {"loss": 1.0}, "lpips": 0.1})
    files.write_json(files.evaluation_path(name), run)


def test_results_are_sorted_by_data_set_loss_and_name():
    for name, loss, data in (
        ("z", "mse", "photos"),
        ("b", "lpips", "photos"),
        ("c", "mse", "photos"),
        ("a", "mse", "large"),
    ):
        write(name, {"data": data, "loss": loss})
    loaded = results.load_results(["a", "b", "c", "z"])
    assert list(loaded) == ["c", "z", "b", "a"]
    assert loaded["a"].metrics == {"test.loss": 1.0, "lpips": 0.1}


def test_the_metrics_of_both_files_are_merged():
    write("baseline/a", {"data": "photos", "loss": "mse", "rgb": {"ssim": 0.5}, "auc": None})
    metrics = results.load_results(["a"], "baseline")["a"].metrics
    assert math.isnan(metrics.pop("auc"))  # null in JSON, because it is not finite
    assert metrics == {"test.loss": 1.0, "lpips": 0.1, "rgb.ssim": 0.5}


def test_only_the_named_results_are_loaded():
    for name in ("a", "b"):
        write(name, {"data": "photos", "loss": "mse"})
    assert list(results.load_results(["b"])) == ["b"]


def test_missing_results_are_an_error():
    for path in (files.metrics_path("a"), files.evaluation_path("a")):
        write("a", {"data": "photos", "loss": "mse"})
        path.unlink()
        with pytest.raises(UserError, match=rf"{path} is missing: run `dvc repro`"):
            results.load_results(["a"])


@pytest.mark.parametrize("run", [[], {}, None])
def test_a_damaged_evaluation_is_an_error(run):
    write("a", run)
    with pytest.raises(UserError, match=r"evaluations/a\.json is damaged \(no data set\)"):
        results.load_results(["a"])


def test_a_missing_or_damaged_history_is_an_error():
    with pytest.raises(UserError, match=r"curves/a\.csv is missing"):
        results.load_history("a")
    files.write_text(files.curves_path("a"), "")
    with pytest.raises(UserError, match=r"curves/a\.csv is damaged \(No columns to parse"):
        results.load_history("a")


def test_stacked_curves_have_a_row_per_training_metric_part_and_epoch():
    columns = [f"{part}_{metric}" for part in ("train", "val") for metric in ("loss", "ssim")]
    colorizer = pd.DataFrame({"epoch": [1, 2], **{column: [0.25, 0.5] for column in columns}})
    colorizer["val_colorfulness"] = 30.0  # adversarial training uses it to choose the epoch
    classifier = pd.DataFrame({"epoch": [1], "train_accuracy": [0.75], "val_loss": [2.0]})
    histories = {"unet": colorizer, "gan": colorizer, "pretext/a": classifier}
    losses = {"unet": "mse", "gan": "l1", "pretext/a": "cross-entropy"}
    curves = results.stack_curves(histories, losses)
    assert list(curves) == ["name", "metric", "part", "epoch", "value"]
    keys = ["name", "metric", "part", "epoch"]
    assert not curves.duplicated(keys).any()
    expected = [
        (name, metric, part, epoch, value)
        for name in ("unet", "gan")
        for metric in (losses[name], "ab SSIM")
        for part in ("training", "validation")
        for epoch, value in ((1, 0.25), (2, 0.5))
    ]
    expected.append(("pretext/a", "cross-entropy", "validation", 1, 2.0))
    expected.append(("pretext/a", "accuracy", "training", 1, 0.75))
    assert list(curves.itertuples(index=False, name=None)) == expected
