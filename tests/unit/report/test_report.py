import pandas as pd
import pytest

from colorpipe import files
from colorpipe.report import figures, page, tables
from colorpipe.report.tables import Result
from colorpipe.runtime.errors import UserError

NO_COLOR = {"mse": 180.0, "classification": 200.0, "lpips": 0.1, "huber": 9.5}  # its losses
METRICS = [f"{part}_{metric}" for part in ("train", "val") for metric in ("loss", "ssim", "psnr")]


def result(loss, data="photos", **changes):
    metrics = {"test.loss": 150.0, "test.ssim": 0.2, "test.psnr": 21.0, "test.mse": 150.0}
    metrics |= {"rgb.ssim": 0.9, "rgb.psnr": 22.0, "colorfulness": 20.0}
    run = {
        "data": data,
        "n": 9,
        "seed": 0,
        "init": "random",
        "best_epoch": 2,
        "loss": loss,
        "baseline_loss": NO_COLOR[loss],
    }
    weights = {"lpips_weights": "random"} if loss == "lpips" else {}
    return Result({**run, **weights, **changes}, metrics)


def baseline(data):
    found = result("mse", data, original_colorfulness=33.0)
    return Result(
        found.run, {**found.metrics, "test.loss": 180.0, "rgb.ssim": 0.8, "colorfulness": 0.0}
    )


BASELINES = {"gray": baseline("photos"), "gray_large": baseline("photos96")}


def test_the_papers_numbers_stand_beside_the_same_experiment_only():
    results = {"resnet": result("mse", "cifar10"), "eccv": result("lpips", "cifar10")}
    columns = tables.results_table(results, {})
    assert columns["paper's loss"].tolist()[:1] == [147.256]
    assert columns["paper's loss"].isna().tolist() == [False, True]
    assert "paper's loss" not in tables.results_table({"resnet": result("mse")}, BASELINES)


def test_the_papers_lpips_does_not_stand_beside_another_quantity():
    for weights, shown in (("random", False), ("imagenet", True)):
        table = tables.results_table(
            {"resnet_lpips": result("lpips", "cifar10", lpips_weights=weights)}, {}
        )
        assert table["paper's SSIM"].tolist()[0] == 0.207
        assert ("paper's loss" in table) is shown


def test_no_color_for_each_data_set_and_loss():
    table = tables.results_table(
        {"a": result("mse"), "b": result("mse"), "c": result("lpips")}, BASELINES
    )
    assert table["colorizer"].tolist() == ["a", "b", "no color", "c", "no color", "original"]
    assert table["loss"].tolist()[3:5] == ["lpips, random VGG"] * 2
    assert table["test loss"].tolist()[2:5:2] == [180.0, 0.1]
    assert table["RGB SSIM"].tolist()[2] == 0.8
    assert table["colorfulness"].tolist()[-1] == 33.0


def test_results_of_earlier_code_do_not_say_what_no_color_has():
    old = result("mse")
    run = {key: value for key, value in old.run.items() if key != "baseline_loss"}
    table = tables.results_table({"a": Result(run, old.metrics)}, BASELINES)
    assert tables.to_markdown(table).splitlines()[3].startswith("| no color |  | 0.200 |")


def test_losses_over_the_bins_compare_at_the_same_resolution_of_logits():
    """Each group has its own no color; the page marks the best of a group."""
    rows = {
        name: result("classification", scale=scale)
        for name, scale in (("coarse", 4), ("fine", 2), ("worse", 2))
    }
    rows["worse"].metrics["test.loss"] = 160.0
    table = tables.results_table(
        dict(sorted(rows.items(), key=lambda row: row[1].setting)), BASELINES
    )
    assert table["colorizer"].tolist() == [
        "fine",
        "worse",
        "no color",
        "coarse",
        "no color",
        "original",
    ]
    assert (
        table["loss"].tolist()[:5] == ["classification at 1/2"] * 3 + ["classification at 1/4"] * 2
    )
    marks = page.best_and_below(table)
    assert {
        number
        for (number, column), mark in marks.items()
        if (column, mark) == ("test loss", "best")
    } == {0}


def test_a_loss_of_ones_own_needs_nothing_here():
    table = tables.results_table({"a": result("huber")}, BASELINES)
    assert table["loss"].tolist()[:2] == ["huber", "huber"]
    assert table["test loss"].tolist()[1] == 9.5


def test_markdown_has_the_significant_digits():
    lines = tables.to_markdown(tables.results_table({"a": result("mse")}, BASELINES)).splitlines()
    assert (
        lines[2]
        == "| a | 150.00 | 0.200 | 21.00 | 150.0 | 0.900 | 22.00 | 20.0 | photos | 9 | mse | 0 | 2 | random |"
    )
    assert lines[4] == "| original |  |  |  |  |  |  | 33.0 | photos | 9 |  |  |  |  |"


def test_results_are_ordered_and_have_to_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="metrics holds no metrics"):
        tables.load_results()
    for name, loss, data in (
        ("z", "mse", "photos"),
        ("b", "lpips", "photos"),
        ("c", "mse", "photos"),
        ("a", "mse", "large"),
    ):
        files.write_json(files.metrics_path(name), {"test": {"loss": 1.0}})
        files.write_json(files.evaluation_path(name), {"data": data, "loss": loss})
    assert list(tables.load_results()) == ["c", "z", "b", "a"]
    assert tables.load_results()["a"].metrics == {"test.loss": 1.0}
    files.evaluation_path("a").unlink()
    with pytest.raises(UserError, match=r"evaluations/a\.json is missing"):
        tables.load_results()


def test_curves_of_several_seeds_are_their_mean_and_spread(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        figures.Figure,
        "savefig",
        lambda figure, path, **options: (drawn.append(figure), path.touch()),
    )
    seeds = [
        pd.DataFrame({"epoch": [1, 2], **{key: [start, 0.5] for key in METRICS}})
        for start in (0.1, 0.2, 0.6)
    ]
    figures.training_curves(
        tmp_path / "p.png", {"a": pd.concat(seeds), "b": seeds[0]}, {"a": "mse", "b": "mse"}
    )
    (figure,) = drawn
    for panel in figure.axes:
        a, b = panel.lines[0], panel.lines[2]
        assert a.get_ydata().tolist() == pytest.approx([0.3, 0.5])
        assert b.get_ydata().tolist() == [0.1, 0.5]
        assert len(panel.collections) == 2  # train and validation of a; one seed has no spread
        edges = panel.collections[0].get_paths()[0].vertices[:, 1]
        assert (edges.min(), edges.max()) == pytest.approx((0.3 - 0.2646, 0.3 + 0.2646), abs=1e-3)
