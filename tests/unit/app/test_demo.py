"""The demo in a real browser."""

import contextlib
import io
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import needs_chromium, opened
from PIL import Image
from playwright import sync_api

from colorpipe import weights
from colorpipe.app import colorize, demo
from colorpipe.models.loading import build_colorizer

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Return a folder with two untrained colorizers. "colorful" has a path."""
    folder = tmp_path_factory.mktemp("demo") / "models"
    torch.manual_seed(0)
    metadata = {"model": "resnet18", "settings": {"cut": "layer1"}, "size": [32, 32]}
    tensors = build_colorizer("resnet18", {"cut": "layer1"}).state_dict()
    weights.save(folder / "other/best.safetensors", tensors, metadata)
    settings = {"widths": [8, 16], "blocks": [1, 1]}
    model = build_colorizer("unet", settings, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    torch.nn.init.normal_(model.log_weights)
    metadata = {"model": "unet", "settings": settings, "head": "bins", "size": [32, 32]}
    measured = {"mse": 120.0, "colorfulness": 10.0}
    path = [{"alpha": 1.0, "temperature": 1.0}, {"alpha": 0.0, "temperature": 0.2}]
    evaluated = {"alpha": 0.0, "temperature": 0.4}  # not on the path
    metadata |= {**evaluated, "vividness": [{**point, **measured} for point in path]}
    weights.save(folder / "colorful/best.safetensors", model.state_dict(), metadata)
    return folder


@pytest.fixture(scope="module")
def url(models) -> Iterator[str]:
    """Run the demo in another process, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = "from colorpipe.app.cli import main; main()"
    command = [sys.executable, "-c", script, "demo", str(models), "--port", str(port)]
    with subprocess.Popen(command, cwd=models, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                assert process.poll() is None
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}").close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


@needs_chromium
def test_a_photograph_is_shown_in_gray_and_color_and_can_be_downloaded(url, models, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    with opened(url) as page:
        page.set_input_files("input[type=file]", tmp_path / "photo.png")
        gray, color = (page.locator("img.preview").nth(number) for number in (0, 1))
        color.wait_for(state="attached")
        assert np.array_equal(load_picture(page, gray), colorize.to_gray(PIXELS))
        bundled = colorize_with(weights.BUNDLED_PATH, PIXELS)
        assert np.array_equal(load_picture(page, color), bundled)

        first = color.get_attribute("src")
        choose(page, "other")
        wait_for_another_picture(page, first)
        other = colorize_with(models / "other/best.safetensors", PIXELS)
        assert np.array_equal(load_picture(page, color), other)
        download = click_download(page)
        assert download.suggested_filename == "photo-other.png"
        assert np.array_equal(np.array(Image.open(download.path())), other)


@needs_chromium
def test_a_large_photograph_has_a_small_preview_and_a_large_download(url, tmp_path):
    pixels = np.tile(PIXELS, (40, 40, 1))  # 1200 x 2000
    Image.fromarray(pixels).save(tmp_path / "large.png")
    with opened(url) as page:
        page.set_input_files("input[type=file]", tmp_path / "large.png")
        color = page.locator("img.preview").nth(1)
        color.wait_for(state="attached")
        assert load_picture(page, color).shape == (960, 1600, 3)
        download = np.array(Image.open(click_download(page).path()))
        # The server may use another number of threads than the test.
        expected = colorize_with(weights.BUNDLED_PATH, pixels)
        assert np.abs(download.astype(int) - expected).max() <= 1


@needs_chromium
def test_a_colorizer_with_a_path_has_a_vividness_slider(url, models, tmp_path):
    path = models / "colorful/best.safetensors"
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    with opened(url) as page:
        vividness = page.get_by_label(f"number input for {demo.VIVIDNESS}")
        choose(page, "other")
        vividness.wait_for(state="detached")
        choose(page, "colorful")
        vividness.wait_for()
        assert vividness.input_value() == "1"
        page.set_input_files("input[type=file]", tmp_path / "photo.png")
        color = page.locator("img.preview").nth(1)
        color.wait_for(state="attached")
        assert np.array_equal(load_picture(page, color), colorize_with(path, PIXELS))

        first = color.get_attribute("src")
        vividness.fill("0.25")
        vividness.press("Tab")
        wait_for_another_picture(page, first)
        assert np.array_equal(load_picture(page, color), colorize_with(path, PIXELS, 0.25))


@needs_chromium
def test_a_photograph_for_a_colorizer_without_a_path(url, models, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    with opened(url) as page:
        choose(page, "other")
        vividness = page.get_by_label(f"number input for {demo.VIVIDNESS}")
        vividness.wait_for(state="detached")
        page.set_input_files("input[type=file]", tmp_path / "photo.png")
        color = page.locator("img.preview").nth(1)
        color.wait_for(state="attached")
        other = colorize_with(models / "other/best.safetensors", PIXELS)
        assert np.array_equal(load_picture(page, color), other)


@needs_chromium
def test_a_file_that_is_not_an_image_is_reported(url, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    with opened(url) as page:
        page.set_input_files("input[type=file]", tmp_path / "broken.png")
        page.get_by_text("is not a readable JPEG, PNG, WebP, TIFF, HEIC or AVIF").wait_for()


def test_a_small_photograph_is_not_enlarged():
    assert np.array_equal(demo.make_preview(PIXELS), PIXELS)


def choose(page, name: str) -> None:
    page.get_by_label("Colorizer").click()
    page.get_by_role("option", name=name).click()


def wait_for_another_picture(page, first: str) -> None:
    script = "first => document.querySelectorAll('img.preview')[1]?.src !== first"
    page.wait_for_function(script, arg=first)


def load_picture(page, image) -> np.ndarray:
    content = page.request.get(image.get_attribute("src")).body()
    return np.array(Image.open(io.BytesIO(content)).convert("RGB"))


def click_download(page):
    """Return the download. A click while the page is being drawn is lost, so click again."""
    page.locator("button:enabled", has_text=demo.DOWNLOAD).wait_for()
    for _ in range(10):
        with contextlib.suppress(sync_api.TimeoutError):
            with page.expect_download(timeout=30_000) as download:
                page.get_by_text(demo.DOWNLOAD).click()
            return download.value
    raise AssertionError("ten clicks on the button downloaded nothing")


def colorize_with(path: Path, pixels: np.ndarray, vividness: float | None = None) -> np.ndarray:
    model, size = colorize.load_model(path, "cpu", vividness)
    return colorize.colorize(model, pixels, size)
