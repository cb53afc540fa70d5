"""A real browser for tests: the system's Chromium, headless. Tests that need one are skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed, which shows the page")


DRAWN = "[...document.querySelectorAll('.plot')].every(plot => plot.closest('[hidden]') || plot.querySelector('.main-svg'))"


@contextmanager
def browser() -> Iterator[Any]:
    """The browser; a machine without a screen or a sandbox will do."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()


class Watched:
    """A page of the browser, with what it said on the console and what it asked a network for."""

    def __init__(self, opened: Any, url: str, **how: Any) -> None:
        self.page = opened.new_page(**how)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def drawn(self) -> Any:
        """The page once all its charts are drawn."""
        waited = 0  # by hand: the page's policy forbids the eval that Playwright's own waiting takes
        while not self.page.evaluate(DRAWN):
            self.page.wait_for_timeout(50)
            waited += 50
            assert waited < 120_000, "charts are not drawn"
        return self.page
