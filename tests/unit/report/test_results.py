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
    assert list(results.load_results()) == ["c", "z", "b", "a"]
    assert results.load_results()["a"].metrics == {"test.loss": 1.0, "lpips": 0.1}


def test_missing_results_are_an_error():
    with pytest.raises(UserError, match="metrics holds no metrics"):
        results.load_results()
    write("a", {"data": "photos", "loss": "mse"})
    files.evaluation_path("a").unlink()
    with pytest.raises(UserError, match=r"evaluations/a\.json is missing"):
        results.load_results()


@pytest.mark.parametrize("run", [[], {}, None])
def test_a_damaged_evaluation_is_an_error(run):
    write("a", run)
    with pytest.raises(UserError, match=r"evaluations/a\.json is damaged \(no data set\)"):
        results.load_results()


def test_a_missing_or_damaged_history_is_an_error():
    with pytest.raises(UserError, match=r"curves/a\.csv is missing"):
        results.load_history("a")
    files.write_text(files.curves_path("a"), "")
    with pytest.raises(UserError, match=r"curves/a\.csv is damaged \(No columns to parse"):
        results.load_history("a")
