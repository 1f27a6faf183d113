import pytest

from colorpipe.evaluation.table import METRICS
from colorpipe.report import tables
from colorpipe.report.results import Result

BASELINE_LOSSES = {"mse": 180.0, "color_classification": 200.0, "lpips": 0.1, "huber": 9.5}
COLORS = {
    "auc": 0.9,
    "auc_rebalanced": 0.7,
    "lpips": 0.02,
    "rgb.mae": 5.0,
    "colorfulness_distance": 3.0,
    "histogram_divergence": 0.2,
}


def result(loss, data="photos", **changes):
    metrics = {"test.loss": 150.0, "test.ssim": 0.2, "test.psnr": 21.0, "test.mse": 150.0}
    metrics |= {"rgb.ssim": 0.9, "rgb.psnr": 22.0, "colorfulness": 20.0, **COLORS}
    metrics |= {"original_colorfulness": 33.0, "baseline_loss": BASELINE_LOSSES[loss]}
    run = {
        "data": data,
        "n": 9,
        "seed": 0,
        "start": "random",
        "best_epoch": 2,
        "loss": loss,
    }
    weights = {"lpips_weights": "random"} if loss == "lpips" else {}
    return Result({**run, **weights, **changes}, metrics)


def baseline(data):
    gray = result("mse", data)
    changes = {"test.loss": 180.0, "rgb.ssim": 0.8, "colorfulness": 0.0}
    return Result(gray.evaluation, {**gray.metrics, **changes})


BASELINES = {"gray": baseline("photos"), "gray_large": baseline("photos96")}


def test_the_papers_numbers_are_shown_for_the_same_experiment_only():
    results = {"resnet": result("mse", "cifar10"), "eccv": result("lpips", "cifar10")}
    table = tables.results_table(results, {})
    assert table["paper's loss"].tolist()[:1] == [147.256]
    assert table["paper's loss"].isna().tolist() == [False, True]
    assert "paper's loss" not in tables.results_table({"resnet": result("mse")}, BASELINES)


@pytest.mark.parametrize(("weights", "is_shown"), [("random", False), ("imagenet", True)])
def test_the_papers_lpips_is_shown_for_the_same_vgg_only(weights, is_shown):
    results = {"resnet_lpips": result("lpips", "cifar10", lpips_weights=weights)}
    table = tables.results_table(results, {})
    assert table["paper's SSIM"].tolist()[0] == 0.207
    assert ("paper's loss" in table) is is_shown


def test_each_data_set_and_loss_has_a_gray_baseline():
    results = {"a": result("mse"), "b": result("mse"), "c": result("lpips")}
    table = tables.results_table(results, BASELINES)
    names = ["a", "b", "gray baseline", "c", "gray baseline", "original"]
    assert table["colorizer"].tolist() == names
    assert table["loss"].tolist()[3:5] == ["lpips, random VGG"] * 2
    assert table["test loss"].tolist()[2:5:2] == [180.0, 0.1]
    assert table["RGB SSIM"].tolist()[2] == 0.8
    assert table["colorfulness"].tolist()[-1] == 33.0


def test_the_table_of_colors_has_one_gray_baseline_per_data_set():
    results = {"a": result("mse"), "b": result("lpips"), "c": result("mse", "photos96")}
    table = tables.color_table(tables.results_table(results, BASELINES))
    assert table["colorizer"].tolist() == ["a", "gray baseline", "b", "c", "gray baseline"]
    assert table["RGB MAE"].tolist() == [5.0] * 5


def test_losses_over_color_bins_compare_at_the_same_resolution_of_logits():
    """Each resolution has its own gray baseline."""
    results = {
        name: result("color_classification", logits_stride=stride)
        for name, stride in (("fine", 2), ("worse", 2), ("coarse", 4))
    }
    table = tables.results_table(results, BASELINES)
    names = ["fine", "worse", "gray baseline", "coarse", "gray baseline", "original"]
    assert table["colorizer"].tolist() == names
    losses = [*["color_classification at 1/2"] * 3, *["color_classification at 1/4"] * 2]
    assert table["loss"].tolist()[:5] == losses


def test_a_new_loss_needs_no_change_in_tables():
    table = tables.results_table({"a": result("huber")}, BASELINES)
    assert table["loss"].tolist()[:2] == ["huber", "huber"]
    assert table["test loss"].tolist()[1] == 9.5


def test_markdown_has_the_digits_of_each_column():
    table = tables.results_table({"a": result("mse")}, BASELINES)
    lines = tables.to_markdown(table.drop(columns=list(tables.COLOR_SCORES))).splitlines()
    scores = "150.00 | 0.200 | 21.00 | 150.0 | 0.900 | 22.00 | 20.0"
    assert lines[2] == f"| a | {scores} | photos | 9 | mse | 0 | 2 | random |"
    assert lines[4] == "| original |  |  |  |  |  |  | 33.0 | photos | 9 |  |  |  |  |"


def test_a_metric_that_is_not_finite_is_an_empty_cell():
    flat = result("mse")
    flat.metrics.update({"test.ssim": float("nan"), "test.psnr": float("nan")})
    table = tables.results_table({"flat": flat, "other": result("mse")}, BASELINES)
    lines = tables.to_markdown(table.drop(columns=list(tables.COLOR_SCORES))).splitlines()
    assert lines[2].startswith("| flat | 150.00 |  |  | 150.0 | 0.900 |")


def test_the_columns_are_those_of_the_table_of_metrics():
    table = tables.results_table({"a": result("mse")}, BASELINES)
    for name, scores in (("results", tables.SCORES), ("colors", tables.COLOR_SCORES)):
        assert scores == {metric.title: metric.key for metric in METRICS if metric.table == name}
        assert set(scores) <= set(table)
    for metric in METRICS:
        if metric.table:
            assert table[metric.title][0] == result("mse").metrics[metric.key]
