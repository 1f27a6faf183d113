"""The page in a real browser: its tables, figures and test images, and that it works offline."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from browser import needs_chromium, opened
from project import ROOT

from colorpipe import files
from colorpipe.evaluation import gallery, grids
from colorpipe.report import build, page
from colorpipe.runtime.errors import UserError
from colorpipe.training.task import record_run

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
    kinds = gallery.choose(errors)
    gallery.write(files.gallery_path(name), kinds, list(range(12)), errors, renderings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with results and their report, but without the pipeline."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "params.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, loss in LOSSES.items():
            write_colorizer(name, loss)
        write_colorizer("resnet_lpips", 160.0, "lpips")
        write_colorizer("vivid", 190.0, "color_classification")
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
        build.write_report()
    return folder


@pytest.fixture(scope="module")
def url(folder) -> str:
    return (folder / "report/index.html").as_uri()


@needs_chromium
@pytest.mark.parametrize("width", [360, 400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(url, width, scheme):
    with opened(url, width, scheme) as page:
        page.evaluate("for (const node of document.querySelectorAll('details')) node.open = true")
        cut = """[...document.querySelectorAll("body *")].filter(node => {
            const { left, right } = node.getBoundingClientRect();
            return left < 0 || right > innerWidth || node.scrollWidth > node.clientWidth + 1
                && node.clientWidth && getComputedStyle(node).display !== "inline"
                && node.tagName !== "PRE";
        }).map(node => node.tagName + " " + node.textContent.slice(0, 40))"""
        assert page.evaluate(cut) == []
        broken = "[...document.images].filter(image => !image.alt || !image.naturalWidth).length"
        assert page.evaluate(broken) == 0
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(background[4:].split(",")[0]) < 60) == (scheme == "dark")


@needs_chromium
def test_the_first_screen_has_the_title_the_slider_and_the_sentences(url):
    with opened(url) as page:
        assert page.locator("h1").inner_text() == "5 image colorizers compared on cifar10"
        sentences = page.locator(".sentences li")
        assert sentences.count() == 3
        assert sentences.nth(0).inner_text().startswith("densenet has the lowest error")
        for selector in (".stack", ".original", ".controls", ".thumbs", ".sentences", "nav"):
            box = page.locator(selector).bounding_box()
            assert box["y"] + box["height"] <= 800, selector


def find_divider(page) -> float:
    """Return the position of the dividing line in percent."""
    return float(page.locator(".stack").evaluate("it => it.style.getPropertyValue('--at')")[:-1])


@needs_chromium
def test_the_slider_moves_with_mouse_and_keyboard(url):
    with opened(url) as page:
        box = page.locator(".stack").bounding_box()
        assert box["width"] == 256  # 32 pixels, enlarged eightfold
        page.mouse.click(box["x"] + 64, box["y"] + 20)
        assert find_divider(page) == pytest.approx(25, abs=2)
        page.mouse.down()
        page.mouse.move(box["x"] + 192, box["y"] + 30, steps=4)
        page.mouse.up()
        assert find_divider(page) == pytest.approx(75, abs=2)
        page.keyboard.press("ArrowLeft")
        assert find_divider(page) == pytest.approx(74, abs=2)
        page.keyboard.press("End")
        assert find_divider(page) == 100


@needs_chromium
def test_the_slider_moves_by_touch(url):
    with opened(url, 400, touch=True) as page:
        box = page.locator(".stack").bounding_box()
        page.touchscreen.tap(box["x"] + 192, box["y"] + 20)
        assert find_divider(page) == pytest.approx(75, abs=2)
        touch = page.context.new_cdp_session(page)
        for kind, x in (("Start", 192), ("Move", 120), ("Move", 64), ("End", None)):
            points = [] if x is None else [{"x": box["x"] + x, "y": box["y"] + 20}]
            touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        assert find_divider(page) == pytest.approx(25, abs=4)


@needs_chromium
def test_the_slider_shows_the_chosen_colorizer_and_image(url):
    with opened(url) as page:
        before, after = page.locator(".before"), page.locator(".after")
        assert after.get_attribute("alt") == "Test image 1 as densenet colors it"
        page.get_by_role("button", name="eccv").focus()
        page.keyboard.press("Enter")
        page.locator(".thumbs button").nth(2).click()
        assert after.get_attribute("alt") == "Test image 3 as eccv colors it"
        row = page.locator(".row[data-name=eccv] img")
        assert after.get_attribute("src") == row.nth(2).get_attribute("src")
        gray = page.locator(".row[data-name=gray] img")
        assert before.get_attribute("src") == gray.nth(2).get_attribute("src")
        pressed = page.locator("button[aria-pressed=true]")
        assert pressed.all_inner_texts() == ["eccv", ""]


@needs_chromium
def test_without_javascript_everything_but_the_slider_is_shown(url):
    with opened(url, scripts=False) as page:
        assert page.locator(".controls").is_hidden()
        assert page.locator(".thumbs").is_hidden()
        assert page.locator(".sentences li").count() == 3
        page.get_by_text("eccv", exact=True).and_(page.locator("summary")).click()
        assert page.locator("details[open] .extremes").count() == 3


@needs_chromium
def test_a_phone_explains_the_columns_below_the_tables(url):
    for width, shown in ((1280, ".scores thead small"), (400, "dl.columns dd")):
        with opened(url, width) as page:
            texts = [text for text in page.locator(shown).all_inner_texts() if text]
            assert len(texts) == 6
            assert texts[0] == "mean squared error of a and b (squared Lab units); lower is better"


def test_the_results_have_the_marks_and_the_papers_numbers(folder):
    text = (folder / "report/index.html").read_text()
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">([^<]*)<.*?</tr>", text, re.DOTALL)
    names = ["densenet", "resnet", "resnet_\u200blpips", "vivid", "eccv"]
    assert rows[:7] == [*names, "gray baseline", "original"]
    assert '<td class="best">140.0 <small>paper 149.8</small></td>' in text
    assert re.search(r'<td class="worse">200\.0<abbr title="worse[^>]*>▾</abbr>', text)
    assert "test loss</th>" not in text.partition('id="pretext"')[0]


def test_the_best_median_and_worst_images_are_shown(folder):
    text = (folder / "report/index.html").read_text()
    eccv = text.partition("<summary>eccv</summary>")[2].partition("</details>")[0]
    assert re.findall(r'alt="Image (\d+) as eccv', eccv)[::6] == ["11", "8", "0"]
    assert len(text) < 4e6


def test_the_page_has_the_facts_and_settings_of_the_run(folder):
    text = (folder / "report/index.html").read_text()
    assert "<td>1.5</td>" in text  # minutes
    assert "torch 2." in text
    assert "cifar-10-binary.tar.gz, md5 c32a1d4ab5d03f1284b67883e8d87530" in text
    assert "batch_size: 64" in text
    assert text.count(">no record<") == len(PRETEXT)


def test_a_study_has_intervals_and_may_lack_figures_and_galleries(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    scores = pd.read_csv("report/results.csv").assign(seeds=3)
    columns = ["ab MSE", "colorfulness"]
    content = page.Content(
        scores=scores,
        half_widths=scores[columns] / 100,
        grids={name: files.grid_path(name) for name in COLORIZERS},
        colorfulness={},
        curves={},
        pretext=pd.DataFrame(),
        pretext_note="Nothing was trained.",
        pretext_figures={},
        training_runs=pd.DataFrame({"training": ["resnet"], "minutes": [1.5]}),
        facts={"Seeds": "0, 1, 2"},
        settings="seed: 0",
    )
    page.write(tmp_path / "index.html", content)
    text = (tmp_path / "index.html").read_text()
    assert "<small>loss: mse · 3 seeds</small>" in text
    assert '<td class="best">140.0 <small>±1.4</small> <small>paper 149.8</small></td>' in text
    assert "± is half the width of their 95 % interval" in text
    assert 'id="training"' not in text
    assert "median" not in text.partition("<script>")[0]


def test_without_classes_the_pretext_task_is_left_out(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    for name in PRETEXT:
        run = {"data": "folder", "left_out": "folder has fewer than two classes"}
        files.write_json(files.metrics_path(f"pretext/{name}"), {})
        files.write_json(files.evaluation_path(f"pretext/{name}"), run)
        files.curves_path(f"pretext/{name}").write_text("epoch\n")
    build.write_report()
    sentence = "The pretext task is left out: folder has fewer than two classes."
    assert Path("report/results.md").read_text().endswith(f"\n\n{sentence}\n")
    page = Path("report/index.html").read_text()
    assert f"<p>{sentence}</p>" in page
    assert "data:image" not in page.partition(sentence)[2].partition("</section>")[0]


def test_results_that_are_not_in_the_table_of_colorizers_are_ignored(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    results = ("results.md", "results.csv", "curves.csv", "index.html")
    before = {name: (files.REPORT / name).read_text() for name in results}
    write_colorizer("renamed", 1.0)
    files.write_text(files.metrics_path("broken"), "{")
    files.write_text(files.metrics_path("baseline/broken"), "{")
    build.write_report()
    for name in results:
        text = (files.REPORT / name).read_text()
        assert "renamed" not in text, name
        assert name == "index.html" or text == before[name], name
    files.write_json(files.NAMES, {"colorizers": [*COLORIZERS, "broken"], "baselines": ["gray"]})
    with pytest.raises(UserError, match=r"evaluations/broken\.json is missing"):
        build.write_report()


def test_a_metric_that_is_not_finite_is_an_empty_cell(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    for name in ("eccv", "baseline/gray"):
        content = files.read_json(files.metrics_path(name))
        content["test"] |= {"ssim": None, "psnr": None}
        files.write_json(files.metrics_path(name), content)
    build.write_report()
    scores = pd.read_csv(files.REPORT / "results.csv").set_index("colorizer")
    assert scores.loc["eccv", ["ab SSIM", "ab PSNR"]].isna().all()
    assert not scores.loc["densenet", ["ab SSIM", "ab PSNR"]].isna().any()
    assert "| eccv | 200.00 |  |  | 200.0 |" in (files.REPORT / "results.md").read_text()
    text = (files.REPORT / "index.html").read_text()
    assert re.search(r">eccv<.*?200\.0.*?</td>\s*<td></td>\s*<td></td>", text, re.DOTALL)


def test_the_curves_are_in_one_file(folder):
    curves = pd.read_csv(folder / "report/curves.csv")
    assert set(curves["name"]) == {*COLORIZERS, *(f"pretext/{name}" for name in PRETEXT)}
    counts = curves.groupby("name")["metric"].unique().map(list)
    assert counts["resnet_lpips"] == ["lpips, imagenet VGG", "ab SSIM", "ab PSNR (dB)"]
    assert counts["pretext/resnet-finetune-100"] == ["cross-entropy", "accuracy"]
    assert not curves.isna().any(axis=None)
