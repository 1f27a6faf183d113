import pandas as pd

from colorpipe.report.page_table import find_marks, score_tables

ROWS = [
    ("c", "x", "lpips, imagenet VGG", 190.0, 0.4, 22.0),
    ("a", "x", "mse", 120.0, 0.2, 14.0),
    ("b", "x", "color_classification at 1/4", 150.0, 0.05, 70.0),
    ("gray baseline", "x", "mse", 180.0, 0.1, 0.0),
    ("gray baseline", "x", "l1", 180.0, 0.1, 0.0),
    ("original", "x", None, None, None, 30.0),
    ("d", "y", "l1", 100.0, 0.3, 5.0),
]
COLUMNS = ["colorizer", "data", "loss", "ab MSE", "ab SSIM", "colorfulness"]


def scores(**columns):
    return pd.DataFrame(ROWS, columns=COLUMNS).assign(n=9, **columns)


def test_values_are_marked_within_a_data_set():
    table = scores().iloc[[0, 1, 2, 3, 5]]
    assert find_marks(table) == {
        (1, "ab MSE"): "best",
        (0, "ab MSE"): "worse",
        (0, "ab SSIM"): "best",
        (2, "ab SSIM"): "worse",
        (0, "colorfulness"): "best",  # differs by 8 from the originals
        (2, "colorfulness"): "worse",  # differs by 40, and gray by 30
    }


def test_a_missing_value_has_no_mark():
    table = scores().iloc[[0, 1, 2, 3, 5]]
    table.loc[[0, 3], "ab SSIM"] = float("nan")
    marks = find_marks(table)
    assert (0, "ab SSIM") not in marks
    assert marks[1, "ab SSIM"] == "best"
    assert (2, "ab SSIM") not in marks


def test_each_data_set_has_a_table_with_the_references_at_the_end():
    x, y = score_tables(scores(seeds=3))
    assert (x.data, x.n, y.data) == ("x", 9, "y")
    assert [row.name for row in x.rows] == ["a", "b", "c", "gray baseline", "original"]
    assert [row.about for row in x.rows] == [
        "loss: mse · 3 seeds",
        "loss: color classification · 3 seeds",
        "loss: lpips · 3 seeds",
        "predicts a = b = 0",
        "the true colors",
    ]
    assert [cell.text for cell in x.rows[0].cells] == ["120.0", "0.200", "14.0"]
    assert [cell.text for cell in x.rows[-1].cells] == ["", "", "30.0"]
    assert list(x.columns) == ["ab MSE", "ab SSIM", "colorfulness"]
    assert (
        x.columns["ab MSE"] == "mean squared error of a and b (squared Lab units); lower is better"
    )
    assert [cell.mark for cell in y.rows[0].cells] == ["", "", ""]


def test_intervals_have_the_digits_of_their_values():
    table = scores()
    half_widths = table[["ab MSE", "ab SSIM", "colorfulness"]] / 100
    (a, *_), *_ = (shown.rows for shown in score_tables(table, half_widths))
    assert [cell.half for cell in a.cells] == ["1.2", "0.002", "0.1"]


def test_the_papers_numbers_are_in_the_cells_that_they_compare_with():
    paper = {"paper's loss": 147.256, "paper's SSIM": 0.227, "paper's PSNR": 21.212}
    rows = score_tables(scores(**paper, **{"ab PSNR": 21.0, "LPIPS": 0.1}))[0].rows
    shown = {row.name: [cell.paper for cell in row.cells] for row in rows}
    assert shown["a"] == ["147.3", "21.21", "0.227", "", ""]
    assert shown["c"] == ["", "21.21", "0.227", "147.2560", ""]
