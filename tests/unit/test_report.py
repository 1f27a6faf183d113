import json

import pandas as pd
import pytest

from colorpipe import figures, report
from colorpipe.errors import UserError

MEASURES = [f"{part}_{measure}" for part in ("train", "val") for measure in ("accuracy", "loss")]


def metrics(loss, data="photos"):
    scores = {"loss": 150.0, "ssim": 0.2, "psnr": 21.0, "mse": 150.0}
    rgb = {"ssim": 0.9, "psnr": 22.0, "colourfulness": 20.0}
    no_colour = {**scores, "rgb_ssim": 0.8, "rgb_psnr": 19.0}
    found = {"data": data, "n": 9, "seed": 0, "start": "random", "best_epoch": 2, "loss": loss, "test": scores, "rgb": rgb}
    extra = {"lpips_weights": "random"} if loss == "lpips" else {}
    return {**found, **extra, "no_colour": no_colour, "original": {"colourfulness": 33.0}}


def test_the_reports_numbers_stand_beside_the_same_experiment_alone():
    columns = report.results_table({"resnet": metrics("mse", "cifar10"), "eccv": metrics("lpips", "cifar10")})
    assert columns["report's loss"].tolist()[:1] == [147.256]
    assert columns["report's loss"].isna().tolist() == [False, True, True, True, True]
    assert "report's loss" not in report.results_table({"resnet": metrics("mse")})


def test_the_reports_lpips_does_not_stand_beside_another_quantity():
    random = metrics("lpips", "cifar10")
    for found, shown in ((random, False), ({**random, "lpips_weights": "imagenet"}, True)):
        table = report.results_table({"resnet_lpips": found})
        assert table["report's SSIM"].tolist()[0] == 0.207
        assert ("report's loss" in table) is shown


def test_a_baseline_for_each_data_set_and_loss():
    table = report.results_table({"a": metrics("mse"), "b": metrics("mse"), "c": metrics("lpips")})
    assert table["colorizer"].tolist() == ["a", "b", "no colour", "c", "no colour", "original"]
    assert table["loss"].tolist()[3] == "lpips, random VGG"
    assert table["RGB SSIM"].tolist()[2] == 0.8


def test_markdown_has_the_digits_that_mean_something():
    lines = report.to_markdown(report.results_table({"a": metrics("mse")})).splitlines()
    assert lines[2] == "| a | photos | 9 | mse | 0 | 2 | 150.00 | 0.200 | 21.00 | 150.0 | 0.900 | 22.00 | 20.0 |"
    assert lines[4] == "| original | photos | 9 |  |  |  |  |  |  |  |  |  | 33.0 |"


def test_metrics_are_ordered_and_have_to_be_there(tmp_path):
    with pytest.raises(UserError, match="holds no metrics"):
        report.load_metrics(tmp_path)
    every = {"z": metrics("mse"), "b": metrics("lpips"), "c": metrics("mse"), "a": metrics("mse", "large")}
    for name, content in every.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert list(report.load_metrics(tmp_path)) == ["c", "z", "b", "a"]


def test_curves_of_several_seeds_are_their_mean_and_spread(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures.plt, "close", drawn.append)
    seeds = [pd.DataFrame({"epoch": [1, 2], **{key: [start, 0.5] for key in MEASURES}}) for start in (0.1, 0.2, 0.6)]
    figures.pretext_curves(tmp_path / "p.png", {"xavier": pd.concat(seeds), "pretrained": seeds[0]})
    (figure,) = drawn
    for panel in figure.axes:
        xavier, pretrained = panel.lines[0], panel.lines[2]
        assert xavier.get_ydata().tolist() == pytest.approx([0.3, 0.5])
        assert pretrained.get_ydata().tolist() == [0.1, 0.5]
        assert len(panel.collections) == 2  # train and validation of xavier; one seed has no spread
        edges = panel.collections[0].get_paths()[0].vertices[:, 1]
        assert (edges.min(), edges.max()) == pytest.approx((0.3 - 0.2646, 0.3 + 0.2646), abs=1e-3)
