"""The page in a real browser: its tables, figures and test images, and that it works offline."""

import json
import re
import shutil
from pathlib import Path

import archives
import pandas as pd
import pytest
import torch
from browser import needs_chromium, opened
from project import ROOT

from colorpipe import files
from colorpipe.evaluation import gallery, grids
from colorpipe.evaluation.table import METRICS
from colorpipe.report import build
from colorpipe.report.page_table import find_marks
from colorpipe.runtime.errors import UserError
from colorpipe.training.supervised import record_run

UNTRACKED = {
    "rgb": {"ssim": 0.9, "mae": 5.0},
    "auc": 0.9,
    "auc_rebalanced": 0.7,
    "colorfulness_distance": 3.0,
    "histogram_divergence": 0.2,
    "original_colorfulness": 3.0,
    "baseline_loss": 180.0,
    "lpips_vgg": "imagenet",
}
LOSSES = {"resnet": 150.0, "densenet": 140.0, "eccv": 200.0}
COLORIZERS = [*LOSSES, "resnet_lpips", "vivid"]
PRETEXT = {"resnet-finetune-100": 0.7, "xavier-finetune-100": 0.6}


def write(name: str, run: dict, test: dict, colorfulness: float) -> None:
    files.write_json(files.evaluation_path(name), {"data": "cifar10", "n": 12, **UNTRACKED, **run})
    content = {
        "test": test,
        "rgb": {"psnr": 22.0},
        "colorfulness": colorfulness,
        "lpips": 0.02,
    }
    files.write_json(files.metrics_path(name), content)


def write_history(name: str, metrics: tuple[str, ...], values: list[float]) -> None:
    columns = {f"{part}_{metric}": values for part in ("train", "val") for metric in metrics}
    files.curves_path(name).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"epoch": [1, 2], **columns}).to_csv(files.curves_path(name), index=False)


def write_colorizer(name: str, loss: float, kind: str = "mse") -> None:
    """Write the files of a colorizer as train and evaluate do."""
    run = {"seed": 3, "start": "random", "best_epoch": 2, "loss": kind}
    weights = {"lpips_weights": "imagenet"} if kind == "lpips" else {}
    test = {"loss": loss, "ssim": 0.2 + 1 / loss, "psnr": 20.0, "mse": loss}
    write(name, {**run, **weights}, test, 20.0)
    write_history(name, ("loss", "ssim", "psnr"), [loss / 100, loss / 200])
    record_run(files.curves_path(name), 90.0, {})
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    gray = images[:, :1].expand(-1, 3, -1, -1)
    renderings = {"gray": gray, "predicted": images * 0.5, "original": images}
    grids.write(files.grid_path(name), renderings)
    errors = torch.arange(12.0).flip(0) * loss
    gallery.write(
        files.gallery_path(name),
        gallery.choose(errors, 3),
        list(range(12)),
        {"mse": errors, "psnr": errors / 10},
        renderings,
        dict.fromkeys(("predicted", "original"), archives.PRIOR.tolist()),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with results and their report, but without the pipeline."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "params.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, loss in LOSSES.items():
            write_colorizer(name, loss)
        write_colorizer("resnet_lpips", 0.1, "lpips")
        write_colorizer("vivid", 3.0, "color_classification")
        test = {"loss": 180.0, "ssim": 0.1, "psnr": 10.0, "mse": 180.0}
        write("baseline/gray", {"loss": "mse"}, test, 0.0)
        names = {"colorizers": COLORIZERS, "baselines": ["gray"]}
        files.write_json(files.NAMES, names)
        for name, accuracy in PRETEXT.items():
            run = {"data": "cifar10", "n": 12, "seed": 3, "best_epoch": 1}
            files.write_json(files.evaluation_path(f"pretext/{name}"), run)
            metrics = {"top1": accuracy, "test": {"loss": 0.8}}
            files.write_json(files.metrics_path(f"pretext/{name}"), metrics)
            write_history(f"pretext/{name}", ("loss", "accuracy"), [0.5, accuracy])
        build.build()
    return folder


@pytest.fixture(scope="module")
def url(folder) -> str:
    return (folder / "report/index.html").as_uri()


@needs_chromium
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_every_image_has_a_description(url, width, scheme):
    with opened(url, width, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        broken = "[...document.images].filter(image => !image.alt || !image.naturalWidth).length"
        assert page.evaluate(broken) == 0
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(background[4:].split(",")[0]) < 60) == (scheme == "dark")


@needs_chromium
def test_tables_are_not_cut(url):
    """All columns fit 1,280 pixels. A phone shows the name and the first score."""
    with opened(url, 1280) as page:
        for table in ("#results .wide", "#colors .wide", "#pretext .wide"):
            cut = page.locator(table).evaluate("box => box.scrollWidth - box.clientWidth")
            assert cut <= 0, table
    with opened(url, 400) as page:
        headings = page.locator("#results thead th")
        assert headings.nth(0).inner_text() == "colorizer"
        assert headings.nth(1).inner_text() == "test loss"
        box = headings.nth(1).bounding_box()
        assert box["x"] + box["width"] < 400


@needs_chromium
def test_the_table_marks_the_best_and_the_worse_than_gray(url):
    with opened(url) as page:
        names = page.locator("#results tbody th").all_inner_texts()
        assert names[:4] == ["densenet", "eccv", "resnet", "gray baseline"]
        assert names[-1] == "original"
        losses = page.locator("#results tbody td:nth-child(2)")
        assert losses.nth(0).inner_text().startswith("140.00")
        assert losses.nth(0).get_attribute("class") == "best"
        assert losses.nth(1).get_attribute("class") == "worse"
        assert losses.nth(2).get_attribute("class") == ""
        text = page.locator("#results").inner_text()
        assert "147.26" in text  # the paper's loss
        assert "0.0950" in text


@needs_chromium
def test_test_images_by_error_with_a_slider(url, folder):
    kinds = json.loads((folder / "galleries/eccv.json").read_text())["kinds"]
    assert kinds["best"][0] == 11
    assert kinds["worst"][0] == 0
    with opened(url) as page:
        page.get_by_label("Colorizer").select_option("eccv")
        for kind, numbers in kinds.items():
            page.locator(f"input[value={kind}]").check()
            buttons = page.locator(".cards button")
            shown = buttons.evaluate_all("all => all.map(button => Number(button.value))")
            assert shown == numbers
        page.locator("input[value=worst]").check()
        buttons.nth(2).focus()
        page.keyboard.press("Enter")
        assert buttons.nth(2).get_attribute("aria-pressed") == "true"
        caption = page.locator(".viewer figcaption").inner_text()
        assert caption.startswith("Test image 2, eccv: ab MSE 1800")
        assert page.locator(".after").get_attribute("alt") == "Test image 2 as eccv colors it"
        gray = page.locator(".before").get_attribute("src")
        page.get_by_label("Compare with").select_option("original")
        assert page.locator(".before").get_attribute("src") != gray
        slider, stack = page.locator(".stack input"), page.locator(".stack")
        slider.focus()
        page.keyboard.press("End")
        assert stack.evaluate("stack => stack.style.getPropertyValue('--at')") == "100%"
        box = stack.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 4, box["y"] + 20)
        assert 20 < slider.evaluate("slider => Number(slider.value)") < 30


def test_the_page_says_what_was_run(folder):
    text = (folder / "report/index.html").read_text()
    assert "1.50" in text  # minutes
    assert "torch 2." in text
    assert "cifar-10-binary.tar.gz, md5 c32a1d4ab5d03f1284b67883e8d87530" in text
    assert "batch_size: 64" in text
    assert text.count(">not run here<") == len(PRETEXT)


def test_the_page_begins_with_the_results_in_short(folder):
    sentence = "On cifar10 (12 test images), resnet_lpips has the lowest ab MSE, 0.1."
    assert f"<p>{sentence}" in (folder / "report/index.html").read_text()
    assert (folder / "report/results.md").read_text().startswith(sentence)


def test_without_classes_the_pretext_task_is_left_out(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    for name in PRETEXT:
        run = {"data": "folder", "left_out": "folder has fewer than two classes"}
        files.write_json(files.metrics_path(f"pretext/{name}"), {})
        files.write_json(files.evaluation_path(f"pretext/{name}"), run)
        files.curves_path(f"pretext/{name}").write_text("epoch\n")
    build.build()
    sentence = "The pretext task is left out: folder has fewer than two classes."
    assert Path("report/results.md").read_text().endswith(f"\n\n{sentence}\n")
    assert f"<p>{sentence}</p>\n</section>" in Path("report/index.html").read_text()


def test_results_that_are_not_in_the_table_of_colorizers_are_ignored(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    results = ("results.md", "results.csv", "curves.csv", "index.html")
    before = {name: (files.REPORT / name).read_text() for name in results}
    write_colorizer("renamed", 1.0)
    files.write_text(files.metrics_path("broken"), "{")
    files.write_text(files.metrics_path("baseline/broken"), "{")
    build.build()
    for name in results:
        text = (files.REPORT / name).read_text()
        assert "renamed" not in text, name
        assert name == "index.html" or text == before[name], name
    files.write_json(files.NAMES, {"colorizers": [*COLORIZERS, "broken"], "baselines": ["gray"]})
    with pytest.raises(UserError, match=r"evaluations/broken\.json is missing"):
        build.build()


def test_a_metric_that_is_not_finite_is_an_empty_cell(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    for name in ("eccv", "baseline/gray"):
        content = files.read_json(files.metrics_path(name))
        content["test"] |= {"ssim": None, "psnr": None}
        files.write_json(files.metrics_path(name), content)
    build.build()
    scores = pd.read_csv(files.REPORT / "results.csv").set_index("colorizer")
    assert scores.loc["eccv", ["ab SSIM", "ab PSNR"]].isna().all()
    assert not scores.loc["densenet", ["ab SSIM", "ab PSNR"]].isna().any()
    assert "| eccv | 200.00 |  |  | 200.0 |" in (files.REPORT / "results.md").read_text()
    page = (files.REPORT / "index.html").read_text()
    assert re.search(r">eccv</th><td[^>]*>200\.00<.*?</td><td[^>]*></td><td[^>]*></td>", page)


def test_the_page_has_a_column_with_its_unit_for_each_metric(folder):
    page = (folder / "report/index.html").read_text()
    for metric in METRICS:
        heading = f'<th scope="col" class="" title="{metric.unit}">{metric.title}</th>'
        assert (heading in page) == bool(metric.table or metric.key == "top1"), metric.key


def test_the_curves_are_in_one_file(folder):
    curves = pd.read_csv(folder / "report/curves.csv")
    assert set(curves["name"]) == {*COLORIZERS, *(f"pretext/{name}" for name in PRETEXT)}
    counts = curves.groupby("name")["metric"].unique().map(list)
    assert counts["resnet_lpips"] == ["lpips, imagenet VGG", "ab SSIM", "ab PSNR (dB)"]
    assert counts["pretext/resnet-finetune-100"] == ["cross-entropy", "accuracy"]
    assert not curves.isna().any(axis=None)


def test_values_compare_within_a_data_set_and_a_loss():
    table = pd.DataFrame(
        {
            "colorizer": ["a", "b", "gray baseline", "c", "d"],
            "data": ["x", "x", "x", "x", "y"],
            "loss": ["mse", "mse", "mse", "lpips", "mse"],
            "test loss": [5.0, 9.0, 8.0, 0.1, 1.0],
            "ab SSIM": [0.2, 0.3, 0.1, 0.4, 0.9],
        }
    )
    assert find_marks(table) == {
        (0, "test loss"): "best",
        (1, "test loss"): "worse",
        (3, "ab SSIM"): "best",
    }
