"""The lines of a study's tables and figures."""

import pandas as pd
import pytest

from colorpipe.runtime.errors import UserError
from experiments.collect import CURVE_KEYS, IDENTITY
from experiments.study import image_path, pivot_curves, separate_data_sets
from experiments.table import IMAGE_KEYS, format_tables, load_table, name_lines, rename_images


def make_rows(names: list[str], **columns: object) -> pd.DataFrame:
    rows = pd.DataFrame({"colorizer": names, "settings": "", "data": "cifar10", "loss": "mse"})
    return rows.assign(**columns)


def test_classifiers_have_a_line_per_settings_and_data_set():
    names = ["pretext/resnet-knn-100", "pretext/xavier-knn-100"] * 2
    first = make_rows(names, seed=[0, 0, 1, 1], top1=[0.8, 0.6, 0.9, 0.7])
    other = first.assign(settings="train.lr=0.1", top1=0.4)
    large = first.assign(data="stl10", top1=0.2)
    results = pd.concat([first, other, large], ignore_index=True)
    lines = format_tables(
        name_lines(results, separate_settings=True), pd.DataFrame(), "resnet"
    ).splitlines()
    start = "| cifar10 | knn | 100 | (default) | resnet"
    assert f"{start} | 2 | 0.85 ± 0.071 |" in lines
    assert f"{start} - xavier | 2 | +0.2 ± 0 |" in lines
    assert "| cifar10 | knn | 100 | (train.lr=0.1) | resnet | 2 | 0.4 ± 0 |" in lines
    assert "| stl10 | knn | 100 |  | resnet | 2 | 0.2 ± 0 |" in lines


def test_a_colorizer_on_two_data_sets_has_two_lines_in_figures():
    names = ["resnet", "gray baseline", "resnet", "gray baseline", "unet"]
    results = make_rows(names, seed=0, experiment="e", commit="c", line=names)
    results["data"] = ["cifar10", "cifar10", "stl10", "stl10", "stl10"]
    separate = separate_data_sets(results)
    expected = ["resnet on cifar10", "gray baseline", "resnet on stl10", "gray baseline", "unet"]
    assert separate["line"].to_list() == expected
    curves = results[results["colorizer"] == "resnet"][CURVE_KEYS]
    curves = curves.assign(part="training", metric="mse", epoch=1, value=[100.0, 200.0])
    histories = pivot_curves(curves, separate)
    assert histories["resnet on cifar10"]["train_loss"].to_list() == [100.0]
    assert histories["resnet on stl10"]["train_loss"].to_list() == [200.0]


def test_a_commit_that_looks_like_a_number_stays_text(tmp_path):
    path = tmp_path / "results.csv"
    make_rows(["resnet"], commit="12e4567", experiment="0123").to_csv(path, index=False)
    table = load_table(path, ["colorizer"])
    assert (table["commit"][0], table["experiment"][0]) == ("12e4567", "0123")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be read as a table "),
        ('a,"b', "cannot be read as a table "),
        ("parameters\n1.5\n", "cannot be read as a table "),
        ("a,b\n1,2\n", "lacks the columns "),
    ],
)
def test_a_damaged_table_is_named(tmp_path, content, reason):
    path = tmp_path / "results.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=f"results.csv {reason}.*: restore it"):
        load_table(path, IDENTITY)


def test_numbers_of_parameters_keep_all_digits(tmp_path):
    path = tmp_path / "results.csv"
    make_rows(["eccv", "gray baseline"], parameters=[32236011, None]).to_csv(path, index=False)
    text = load_table(path, ["colorizer"]).to_csv(float_format="%.6g")
    assert ",32236011\n" in text


def test_images_keep_their_lines_if_new_results_rename_them(tmp_path):
    """With a second data set, `resnet` becomes `resnet on photos`."""
    old = pd.DataFrame([["resnet", "photos", "", 0]], columns=[*IMAGE_KEYS, "seed"])
    new = pd.DataFrame([["resnet", "cifar10", "", 0]], columns=old.columns)
    old_lines, lines = (
        separate_data_sets(name_lines(results, separate_settings=True))
        for results in (old, pd.concat([old, new], ignore_index=True))
    )
    path = image_path(tmp_path, "resnet")
    path.parent.mkdir()
    path.write_bytes(b"photos")
    rename_images(tmp_path, old_lines, lines)
    assert image_path(tmp_path, "resnet on photos").read_bytes() == b"photos"
    assert not path.exists()
