"""The demo in a real browser: a photograph in, gray and color out."""

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
from colorpipe.app import colorize, demo, model_zoo
from colorpipe.app.model_zoo import DEFAULT, STYLES
from colorpipe.models.colorizer import build_colorizer

BUTTON = "Download at full resolution (PNG)"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Three untrained colorizers, one of them with a head over the 313 bins."""
    folder = tmp_path_factory.mktemp("demo") / "models"
    for name in ("one", "other"):
        torch.manual_seed(len(name))
        metadata = {"model": "resnet18", "settings": {"cut": "layer1"}, "size": [32, 32]}
        tensors = build_colorizer("resnet18", {"cut": "layer1"}).state_dict()
        weights.save(folder / name / "best.safetensors", tensors, metadata)
    torch.manual_seed(0)
    settings = {"widths": [8, 8], "blocks": [1, 1]}
    model = build_colorizer("unet", settings, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    metadata = {"model": "unet", "settings": settings, "head": "bins", "size": [32, 32]}
    weights.save(folder / "bins/best.safetensors", model.state_dict(), metadata)
    return folder


@pytest.fixture(scope="module")
def url(models) -> Iterator[str]:
    """The demo over them, as a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        "from colorpipe.app.cli import main; main()",
        "demo",
        str(models),
    ]
    with subprocess.Popen(
        [*command, "--port", str(port)], cwd=models, stdout=subprocess.DEVNULL
    ) as process:
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
def test_a_photograph_in_gray_and_in_color(url, models, tmp_path):
    """With the bundled colorizer first, then with another; and at full resolution, to download."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    with opened(url) as shown:
        shown.set_input_files("input[type=file]", tmp_path / "photo.png")
        gray, color = shown.locator("img.preview").nth(0), shown.locator("img.preview").nth(1)
        color.wait_for(state="attached")

        def picture(image) -> np.ndarray:
            return np.array(
                Image.open(
                    io.BytesIO(shown.request.get(image.get_attribute("src")).body())
                ).convert("RGB")
            )

        assert np.array_equal(picture(gray), colorize.to_gray(pixels))
        first = color.get_attribute("src")
        assert np.array_equal(
            picture(color), colors(model_zoo.BUNDLED / f"{STYLES[DEFAULT]}.safetensors", pixels)
        )
        shown.get_by_label("Colorizer").click()
        shown.get_by_role("option", name="other").click()
        shown.wait_for_function(
            "first => document.querySelectorAll('img.preview')[1]?.src !== first", arg=first
        )
        expected = colors(models / "other/best.safetensors", pixels)
        assert np.array_equal(picture(color), expected)
        shown.get_by_text(BUTTON).wait_for()
        download = downloaded(shown)
        assert download.suggested_filename == "photo-other.png"
        assert np.array_equal(np.array(Image.open(download.path())), expected)


@needs_chromium
def test_the_temperature_of_a_colorizer_with_a_head_over_the_bins(url, models, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    path = models / "bins/best.safetensors"
    with opened(url) as shown:
        number = shown.get_by_label("number input for Temperature")
        assert number.input_value() == "1"  # of the bundled colorizer
        for name in ("other", "bins"):
            shown.get_by_label("Colorizer").click()
            shown.get_by_role("option", name=name).click()
            shown.get_by_text("Temperature").wait_for(
                state="hidden" if name == "other" else "visible"
            )
        shown.wait_for_function(
            "[...document.querySelectorAll('input[type=number]')].some(one => one.value == '0.38')"
        )
        shown.set_input_files("input[type=file]", tmp_path / "photo.png")
        shown.get_by_text(BUTTON).wait_for()
        for T in (0.38, 0.05):
            if T != 0.38:
                before = shown.get_by_text(BUTTON).element_handle()
                number.fill(str(T))
                number.blur()
                shown.wait_for_function(
                    "button => !button.isConnected || button.disabled", arg=before
                )
                shown.get_by_text(BUTTON).wait_for()
            assert np.array_equal(
                np.array(Image.open(downloaded(shown).path())), colors(path, pixels, T)
            )


def downloaded(shown):
    """The download behind the button, clicked again where the page was being drawn: such a click is lost."""
    for _ in range(10):
        with contextlib.suppress(sync_api.TimeoutError):
            with shown.expect_download(timeout=30_000) as download:
                shown.get_by_text(BUTTON).click()
            return download.value
    raise AssertionError(f"ten clicks on {BUTTON!r} downloaded nothing")


def colors(path: Path, pixels: np.ndarray, temperature: float | None = None) -> np.ndarray:
    model, size = colorize.load(path, "cpu", temperature)
    return colorize.colorize(model, pixels, size)


def test_a_large_photograph_has_a_small_preview_and_progress(models, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    path, told = models / "one/best.safetensors", []
    gray, color, _ = demo.preview(
        tmp_path / "photo.png", path, 1.0, lambda share, what: told.append((share, what))
    )
    assert gray.shape == color.shape == (1224, 1632, 3)
    assert np.abs(gray.astype(int) - colorize.to_gray(demo.shrink(pixels)).astype(int)).max() == 0
    demo.full(
        tmp_path / "photo.png",
        path,
        1.0,
        tmp_path / "full.png",
        lambda share, what: told.append((share, what)),
    )
    assert np.array_equal(np.array(Image.open(tmp_path / "full.png")), colors(path, pixels))
    assert [what for _, what in told] == [
        "reading",
        "colorizing a preview",
        "reading",
        "colorizing 3.0 megapixels",
        "writing",
    ]


@needs_chromium
def test_a_file_that_is_not_an_image_is_reported(url, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    with opened(url) as shown:
        shown.set_input_files("input[type=file]", tmp_path / "broken.png")
        shown.get_by_text("is not a JPEG, PNG, WebP, TIFF or HEIC").wait_for()
