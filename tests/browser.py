"""A page of this project in a real browser, opened from the disk and with no way to the network."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
# The first is the same browser without its windows, and takes an eighth less of the processor.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
# A page lives for two seconds here, in which code that is compiled to run fast does not pay.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--js-flags=--no-opt --no-maglev"]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open the page with")


@dataclass
class Opened:
    """A page, with what it asked for and what went wrong in it."""

    page: "playwright.Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.BrowserContext"]:
    """Its one window, which an empty page keeps open: each further window would take as long as half a page does."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        window = browser.new_context(offline=True)
        window.new_page()
        yield window
        browser.close()


@contextmanager
def opening(browser: "playwright.BrowserContext", kind: type[Opened] = Opened) -> Iterator[Callable[..., Opened]]:
    """What opens a file, in a tab so wide; at the end each page must have been content, and to itself."""
    pages = []

    def call(file: Path, width: int = 1366, fragment: str = "") -> Opened:
        page = browser.new_page()
        page.set_viewport_size({"width": width, "height": 768})
        one = kind(page)
        pages.append(one)
        page.on("request", lambda request: one.requests.append(request.url))
        page.on("console", lambda message: one.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: one.complaints.append(str(error)))
        page.goto(file.as_uri() + fragment)
        page.wait_for_selector("html[data-ready]", timeout=60_000)
        return one

    yield call
    for one in pages:
        one.page.close()
        assert not one.complaints, one.complaints
        assert len([url for url in one.requests if url.startswith("file:")]) == 1
        assert [url for url in one.requests if not url.startswith(("file:", "data:", "blob:"))] == []
