"""A real Chromium to test pages."""

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
    not CHROMIUM, reason="no Chromium is installed (Debian: apt-get install chromium)"
)


@cache
def chromium() -> Browser:
    """One Chromium for all tests of a process, which ends with it."""
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
    )


@contextmanager
def opened(url: str, width: int = 1280, scheme: str = "light") -> Iterator[Page]:
    """The page at `url`; afterwards checks that it logged no errors and requested nothing elsewhere."""
    errors, requests = [], []
    page = chromium().new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.set_default_timeout(300_000)  # for what hangs: a busy machine is not a fault
    page.goto(url)
    yield page
    page.close()
    assert errors == [], errors
    own = url.split("/")[2]
    elsewhere = [
        each
        for each in requests
        if not each.startswith(("data:", "blob:")) and each.split("/")[2] != own
    ]
    assert elsewhere == [], elsewhere
