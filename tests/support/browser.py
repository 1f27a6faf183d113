"""Chromium, to test pages in a real browser."""

import atexit
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed (Debian: apt-get install chromium)"
)


@cache
def chromium() -> Browser:
    """Start Chromium once per process. It is closed when the process ends."""
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
    )


@contextmanager
def opened(
    url: str, width: int = 1280, scheme: str = "light", touch: bool = False, scripts: bool = True
) -> Iterator[Page]:
    """Open a page. Afterwards, check that it logged no errors and used no other host.

    Args:
        url: The page.
        width: The width of the window in pixels. Its height is 800 pixels.
        scheme: The color scheme, "light" or "dark".
        touch: Whether there is a touch screen.
        scripts: Whether JavaScript runs.
    """
    errors, requests = [], []
    page = chromium().new_page(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        has_touch=touch,
        java_script_enabled=scripts,
    )
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.set_default_timeout(300_000)  # long, so that only a hang times out
    page.goto(url)
    yield page
    page.close()
    assert errors == [], errors
    host = url.split("/")[2]
    elsewhere = [
        request
        for request in requests
        if not request.startswith(("data:", "blob:")) and request.split("/")[2] != host
    ]
    assert elsewhere == [], elsewhere
