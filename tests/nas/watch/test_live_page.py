"""The served page in a real browser: it follows what is written and what runs, and keeps what its reader has chosen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.records.results import Results
from nas.watch import watched as module
from nas.watch.server import Server
from nas.watch.watched import Watched
from tests.nas.page.browser import Watched as Shown
from tests.nas.page.browser import browser, needs_browser
from tests.nas.records.test_running import worker
from tests.nas.watch.test_watched import lines

pytestmark = [pytest.mark.slow, needs_browser]
NOW = "[...document.querySelectorAll('#running dl.numbers > div')].map(one => one.textContent).join(' ')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(module, "REST", 0.0)
    monkeypatch.setattr(module, "SECONDS", 0.1)
    server = Server("127.0.0.1", 0, Watched([str(folder)], (), "Live").paths())
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.url
    server.close()
    thread.join()


def until(shown: Shown, holds: Callable[[], bool]) -> None:
    """Wait; by hand, since the page's policy forbids the eval that Playwright's own waiting takes."""
    waited = 0
    while not holds():
        shown.page.wait_for_timeout(50)
        waited += 50
        assert waited < 120_000, shown.page.inner_text("#main")


def test_the_page_follows_rows_and_processes(url: str, folder: Path) -> None:
    with browser() as opened:
        shown = Shown(opened, url, viewport={"width": 360, "height": 800})
        page = shown.page
        assert "no run has ended yet" in page.inner_text("#running")
        lines(folder, 6)
        until(shown, lambda: "finished6" in page.evaluate(NOW) and page.query_selector("#table") is not None)
        page.fill("#table input[type=search]", "dgl")
        with worker(Results(folder), "0123") as process:
            until(shown, lambda: "running1" in page.evaluate(NOW))
            assert f"process {process.pid}" in page.inner_text("#running") and "5 of 10" in page.inner_text("#running")
            lines(folder, 9)
            until(shown, lambda: "finished9" in page.evaluate(NOW))
            process.send_signal(signal.SIGKILL)
        until(shown, lambda: "killed1" in page.evaluate(NOW))
        assert "running0" in page.evaluate(NOW) and page.input_value("#table input[type=search]") == "dgl"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert shown.said == [] and {one.removeprefix(url) for one in shown.asked} <= {"", "now.json", "data.json"}
