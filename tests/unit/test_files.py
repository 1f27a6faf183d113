"""The JSON files of metrics: rounded, nested, and valid without NaN."""

import json
import math
from pathlib import Path

import pytest

from colorpipe import files
from colorpipe.runtime.errors import UserError


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def write_and_read(path: Path, metrics: dict[str, object]) -> dict[str, object]:
    files.write_metrics(path, metrics)
    return json.loads(path.read_text(), parse_constant=refuse)


def test_metrics_have_five_significant_digits(tmp_path):
    path = tmp_path / "metrics/resnet.json"
    metrics = {
        "large": 123456.789,
        "third": 1 / 3,
        "small": 0.000123456,
        "negative": -9.999996,
        "whole": 5.0,
        "count": 1234567,
        "name": "mse",
        "flag": True,
        "rows": [{"epoch": 1, "loss": 2.3456789}],
    }
    expected = {
        "large": 123460.0,
        "third": 0.33333,
        "small": 0.00012346,
        "negative": -10.0,
        "whole": 5.0,
        "count": 1234567,  # only floating-point numbers are rounded
        "name": "mse",
        "flag": True,
        "rows": [{"epoch": 1, "loss": 2.3457}],
    }
    assert write_and_read(path, metrics) == expected
    assert write_and_read(path, expected) == expected
    assert [file.name for file in path.parent.iterdir()] == ["resnet.json"]


def test_a_dot_in_a_key_stands_for_nesting(tmp_path):
    metrics = {"test.loss": 1.0, "auc": 0.5, "test.ssim": 0.25, "a.b.c": 1, "loss": {"name": "l1"}}
    assert write_and_read(tmp_path / "m.json", metrics) == {
        "test": {"loss": 1.0, "ssim": 0.25},
        "auc": 0.5,
        "a": {"b": {"c": 1}},
        "loss": {"name": "l1"},
    }
    assert metrics.keys() == {"test.loss", "auc", "test.ssim", "a.b.c", "loss"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_null(tmp_path, value):
    metrics = {
        "test.loss": value,
        "auc": 0.5,
        "rows": [1.0, value],
        "inner": {"deep": {"x": value}},
    }
    assert write_and_read(tmp_path / "m.json", metrics) == {
        "test": {"loss": None},
        "auc": 0.5,
        "rows": [1.0, None],
        "inner": {"deep": {"x": None}},
    }


def test_json_without_rounding_refuses_nan_and_keeps_the_file(tmp_path):
    files.write_json(tmp_path / "m.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "m.json", {"x": math.nan})
    assert files.read_json(tmp_path / "m.json") == {"x": 1}


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(UserError, match=r"m\.json is missing: run `dvc repro` to create it$"):
        files.read_json(tmp_path / "m.json")
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(
        UserError, match=r"m\.json is damaged \(.*\): delete it and run `dvc repro`"
    ):
        files.read_json(tmp_path / "m.json")
