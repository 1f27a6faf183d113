"""The page in a real browser: its tables, curves and renderings, and that it asks nothing of a network."""

import json
import shutil
from pathlib import Path

import archives
import numpy as np
import pandas as pd
import pytest
import torch
from browser import needs_chromium, opened
from project import ROOT

from colorpipe import files
from colorpipe.evaluation import gallery, grids
from colorpipe.report import build, page
from colorpipe.report.conclusions import conclusions
from colorpipe.runtime import live

COLORS = {
    "rgb_mae": 5.0,
    "colorfulness_distance": 3.0,
    "histogram_divergence": 0.2,
    "recognized": 0.5,
    "flip_mse": 100.0,
}
LOSSES = {"resnet": 150.0, "densenet": 140.0, "eccv": 200.0}


def write(name: str, run: dict, test: dict, colorfulness: float) -> None:
    files.write_json(files.evaluation_path(name), run)
    content = {
        "test": test,
        "rgb": {"ssim": 0.9, "psnr": 22.0},
        "colorfulness": colorfulness,
        "lpips": 0.02,
    }
    content |= {"auc": 0.9, "auc_rb": 0.7}
    files.write_json(files.metrics_path(name), content)


def colorizer(name: str, loss: float, kind: str = "mse") -> None:
    """Files as evaluation writes them."""
    weights = {"lpips_weights": "imagenet"} if kind == "lpips" else {}
    run = {
        "data": "cifar10",
        "n": 12,
        "seed": 3,
        "init": "random",
        "best_epoch": 2,
        "loss": kind,
        **weights,
        **COLORS,
    }
    run["baseline_loss"] = 180.0
    write(name, run, {"loss": loss, "ssim": 0.2 + 1 / loss, "psnr": 20.0, "mse": loss}, 20.0)
    rows = {
        f"{part}_{key}": [loss / 100, loss / 200]
        for part in ("train", "val")
        for key in ("loss", "ssim", "psnr")
    }
    frame = pd.DataFrame({"epoch": [1, 2], **rows})
    frame.loc[1, "val_psnr"] = np.nan
    frame.to_csv(files.curves_path(name), index=False)
    live.record_run(files.curves_path(name), 90.0)
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    renderings = {
        "gray": images[:, :1].expand(-1, 3, -1, -1),
        "predicted": images * 0.5,
        "original": images,
    }
    grids.write(files.grid_path(name), {"gray": images, "predicted": images, "original": images})
    if kind == "classification":
        renderings |= {"1.0": images * 0.4, "0.38": images * 0.5, "0.1": images * 0.6}
    errors = torch.arange(12.0).flip(0) * loss
    shares = dict.fromkeys(("predicted", "original"), archives.PRIOR.tolist())
    kinds = gallery.choose(errors, 3)
    gallery.write(
        files.gallery_path(name),
        kinds,
        list(range(12)),
        {"mse": errors, "psnr": errors / 10},
        renderings,
        shares,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project with results but no pipeline, and its report."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "params.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for part in ("metrics/pretext", "curves/pretext"):
            (folder / part).mkdir(parents=True)
        for name, loss in LOSSES.items():
            colorizer(name, loss)
        colorizer("resnet_lpips", 0.1, "lpips")
        colorizer("vivid", 3.0, "classification")
        run = {
            "data": "cifar10",
            "n": 12,
            "loss": "mse",
            "original_colorfulness": 3.0,
            "original_recognized": 0.8,
            **COLORS,
        }
        write("baseline/gray", run, {"loss": 180.0, "ssim": 0.1, "psnr": 10.0, "mse": 180.0}, 0.0)
        for name, accuracy in (("resnet-finetune-100", 0.7), ("xavier-finetune-100", 0.6)):
            run = {"data": "cifar10", "n": 12, "seed": 3, "best_epoch": 1}
            files.write_json(files.evaluation_path(f"pretext/{name}"), run)
            files.write_json(
                files.metrics_path(f"pretext/{name}"), {"top1": accuracy, "test": {"loss": 0.8}}
            )
            keys = [f"{part}_{key}" for part in ("train", "val") for key in ("loss", "accuracy")]
            pd.DataFrame({"epoch": [1, 2], **{key: [0.5, accuracy] for key in keys}}).to_csv(
                files.curves_path(f"pretext/{name}"), index=False
            )
        build.build()
    return folder


@pytest.fixture(scope="module")
def url(folder) -> str:
    return (folder / "report/index.html").as_uri()


@needs_chromium
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_every_picture_has_words(url, width, scheme):
    with opened(url, width, scheme) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            shown.evaluate(
                "[...document.images].filter(image => !image.alt || !image.naturalWidth).length"
            )
            == 0
        )
        ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(ground[4:].split(",")[0]) < 60) == (scheme == "dark")
        for name in ("curves", "pretext-curves"):
            assert shown.locator(f"#{name} canvas").bounding_box()["width"] <= width


@needs_chromium
def test_no_table_of_results_is_cut(url):
    """At 1,280 pixels all columns are visible; on a phone the name and the first result."""
    with opened(url, 1280) as shown:
        for table in ("#results .wide", "#colors .wide", "#pretext .wide >> nth=0"):
            box = shown.locator(table)
            assert box.evaluate("box => box.scrollWidth - box.clientWidth") <= 0, table
    with opened(url, 400) as shown:
        heads = shown.locator("#results thead th")
        assert heads.nth(0).inner_text().startswith("colorizer")
        assert heads.nth(1).inner_text().startswith("test loss")
        box = heads.nth(1).bounding_box()
        assert box["x"] + box["width"] < 400


@needs_chromium
def test_the_table_sorts_and_marks(url):
    with opened(url) as shown:
        names = shown.locator("#results tbody th")
        before = names.all_inner_texts()
        assert before[:3] == ["densenet", "eccv", "resnet"]
        heading = shown.locator(
            "#results th", has=shown.get_by_role("button", name="test loss", exact=True)
        )
        heading.get_by_role("button").focus()
        shown.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "ascending"
        in_order = [
            "resnet_lpips",
            "vivid",
            "densenet",
            "resnet",
            *["no color"] * 3,
            "eccv",
            "original",
        ]
        assert names.all_inner_texts() == in_order
        shown.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        assert names.all_inner_texts() == [
            "eccv",
            *in_order[4:7],
            *in_order[3:0:-1],
            "resnet_lpips",
            "original",
        ]
        cells = shown.locator(
            "#results tbody tr", has=shown.get_by_role("rowheader", name="densenet")
        ).locator("td")
        assert cells.nth(0).inner_text().startswith("140.00")
        assert "best" in cells.nth(0).get_attribute("class")
        eccv = shown.locator(
            "#results tbody tr", has=shown.get_by_role("rowheader", name="eccv")
        ).locator("td")
        assert "below" in eccv.nth(0).get_attribute("class")
        text = shown.locator("#results").inner_text()
        assert "147.26" in text  # the paper's number beside ours
        assert "0.0950" in text


@needs_chromium
def test_the_curves_can_be_chosen(url, folder):
    with opened(url) as shown:
        root = shown.locator("#curves")
        label = root.locator(".chart").get_attribute
        assert label("aria-label").startswith(
            "Loss: MSE of ab by epoch; at the end: densenet 0.7000, eccv 1.000"
        )
        assert "resnet_lpips" not in label("aria-label")
        assert root.get_by_label("Metric").locator("option").count() == 5
        root.get_by_label("Metric").select_option("Loss: LPIPS")
        assert "resnet_lpips 0.0005000" in label("aria-label")
        root.get_by_label("Metric").select_option("PSNR of ab (dB)")
        root.get_by_label("Part").select_option("both")
        # Where the last value is missing, the one before it is shown.
        assert "densenet, validation 1.400, densenet, train 0.7000" in label("aria-label")
        root.locator("summary").click()
        first = root.locator(".numbers tbody tr").first.locator("td").all_inner_texts()
        assert [float(text) for text in first[:2]] == [1.4, 1.4]
        pixels = "canvas => canvas.toDataURL()"
        drawn = root.locator("canvas").evaluate(pixels)
        line = root.locator(".u-legend .u-series").nth(1)
        line.focus()
        shown.keyboard.press("Enter")  # hides it
        assert "u-off" in line.get_attribute("class")
        assert root.locator("canvas").evaluate(pixels) != drawn


@needs_chromium
def test_renderings_by_error_under_a_slider(url, folder):
    kinds = json.loads((folder / "galleries/eccv.json").read_text())["kinds"]
    assert kinds["best"][0] == 11
    assert kinds["worst"][0] == 0
    with opened(url) as shown:
        shown.get_by_label("Colorizer").select_option("eccv")
        for kind, numbers in kinds.items():
            shown.locator(f"input[value={kind}]").check()
            buttons = shown.locator(".cards button")
            assert [
                int(value) for value in buttons.evaluate_all("all => all.map(one => one.value)")
            ] == numbers
        shown.locator("input[value=worst]").check()
        buttons.nth(2).focus()
        shown.keyboard.press("Enter")
        assert buttons.nth(2).get_attribute("aria-pressed") == "true"
        assert (
            shown.locator(".viewer figcaption")
            .inner_text()
            .startswith("Test image 2, eccv: squared error of ab 1800")
        )
        assert shown.locator(".after").get_attribute("alt") == "Test image 2 as eccv colors it"
        gray = shown.locator(".before").get_attribute("src")
        shown.get_by_label("Compare with").select_option("original")
        assert shown.locator(".before").get_attribute("src") != gray
        shown.locator(".stack input").focus()
        shown.keyboard.press("End")
        assert (
            shown.locator(".stack").evaluate("stack => stack.style.getPropertyValue('--at')")
            == "100%"
        )
        box = shown.locator(".stack").bounding_box()
        shown.mouse.click(box["x"] + box["width"] / 4, box["y"] + 20)
        assert 20 < shown.locator(".stack input").evaluate("slider => Number(slider.value)") < 30


@needs_chromium
def test_the_temperature_can_be_chosen(url):
    with opened(url) as shown:
        label = shown.locator("#temperatures")
        shown.get_by_label("Colorizer").select_option("eccv")
        assert not label.is_visible()
        shown.get_by_label("Colorizer").select_option("vivid")
        assert label.locator("output").inner_text() == "0.38"  # that of the table
        at = {"0.38": shown.locator(".after").get_attribute("src")}
        shown.locator("#temperature").focus()
        for key, value in (("End", "0.1"), ("Home", "1.0")):
            shown.keyboard.press(key)
            assert label.locator("output").inner_text() == value
            at[value] = shown.locator(".after").get_attribute("src")
        assert len(set(at.values())) == 3


def test_it_tells_what_was_run(folder):
    text = (folder / "report/index.html").read_text()
    assert "1.50" in text  # minutes
    assert "torch 2." in text
    assert "cifar-10-binary.tar.gz, md5 c32a1d4ab5d03f1284b67883e8d87530" in text
    assert "batch_size: 64" in text
    assert text.count("not run here") >= 2  # the pretext trainings have no record


@needs_chromium
def test_without_classes_the_pretext_task_is_left_out(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    for name in ("resnet-finetune-100", "xavier-finetune-100"):
        files.write_json(files.metrics_path(f"pretext/{name}"), {})
        files.write_json(
            files.evaluation_path(f"pretext/{name}"),
            {"data": "folder", "left_out": "folder has no classes"},
        )
        files.curves_path(f"pretext/{name}").write_text("epoch\n")
    build.build()
    assert "Left out: folder has no classes." in Path("report/results.md").read_text()
    with opened(Path("report/index.html").resolve().as_uri()) as shown:
        assert shown.locator("#pretext").inner_text().endswith("Left out: folder has no classes.")
        assert shown.locator(".cards button").count() == gallery.COUNT


def test_what_to_conclude():
    table = pd.DataFrame(
        [
            {
                "colorizer": "one",
                "data": "photos",
                "n": 5,
                "ab MSE": 150.0,
                "RGB PSNR": 21.0,
                "RGB SSIM": 0.9,
            },
            {
                "colorizer": "other",
                "data": "photos",
                "n": 5,
                "ab MSE": 140.0,
                "RGB PSNR": 15.7,
                "RGB SSIM": 0.9,
            },
            {
                "colorizer": "no color",
                "data": "photos",
                "n": 5,
                "ab MSE": 130.0,
                "RGB PSNR": 16.19,
                "RGB SSIM": 0.8,
            },
            {"colorizer": "original", "data": "photos", "n": 5},
            {"colorizer": "large", "data": "photos96", "n": 6, "ab MSE": 120.0},
        ]
    )
    sentence = (
        "On {} ({} test images) the lowest squared error of ab is {}'s, {} Lab units squared{}."
    )
    assert conclusions(table) == [
        sentence.format("photos", 5, "other", "140.0", "; no color at all has 130.0"),
        "In RGB, too, these beat no color: one.",
        "In RGB these do not beat no color (PSNR 16.19 dB, SSIM 0.800): other (PSNR 15.70 dB, SSIM 0.900).",
        sentence.format("photos96", 6, "large", "120.0", ""),
    ]


def test_what_colorfulness_costs():
    """Vivid is nearest to the originals; the sentence names what it costs beside the lowest error."""
    rows = [
        ("pale", 120.0, 14.0),
        ("vivid", 150.0, 29.0),
        ("garish", 160.0, 45.0),
        ("no color", 180.0, 0.0),
    ]
    table = pd.DataFrame(
        [
            *(
                {
                    "colorizer": name,
                    "data": "x",
                    "n": 5,
                    "seed": 3,
                    "ab MSE": mse,
                    "colorfulness": c,
                }
                for name, mse, c in rows
            ),
            {"colorizer": "original", "data": "x", "n": 5, "colorfulness": 30.6},
        ]
    ).assign(**{"RGB PSNR": 20.0, "RGB SSIM": 0.9})
    sentence = conclusions(table)[1]
    assert sentence.startswith(
        "Nearest to the originals' colorfulness of 30.6 is vivid's 29.0 (seed 3), at 30.0 more in"
    )
    assert sentence.endswith("than pale, whose is 14.0.")


def test_best_is_by_data_and_loss():
    table = pd.DataFrame(
        {
            "colorizer": ["a", "b", "no color", "c", "d"],
            "data": ["x", "x", "x", "x", "y"],
            "loss": ["mse", "mse", "mse", "lpips", "mse"],
            "test loss": [5.0, 9.0, 8.0, 0.1, 1.0],
            "ab SSIM": [0.2, 0.3, 0.1, 0.4, 0.9],
        }
    )
    assert page.best_and_below(table) == {
        (0, "test loss"): "best",
        (1, "test loss"): "below",
        (3, "ab SSIM"): "best",
    }


def test_galleries_are_ranked():
    errors = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0, 0.0, 10.0, 11.0])
    kinds = gallery.choose(errors, 0)
    assert kinds["best"] == [9, 1, 3, 4, 2, 0]
    assert kinds["worst"] == [11, 10, 5, 6, 7, 8]
    assert kinds["median"] == [4, 2, 0, 8, 7, 6]
    assert (
        gallery.choose(errors, 0)["random"]
        == kinds["random"]
        != gallery.choose(errors, 1)["random"]
    )
    assert sorted(gallery.choose(errors[:3], 0)["worst"]) == [0, 1, 2]
