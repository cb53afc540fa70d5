"""What is shown while a command runs: lines in a log, bars in a terminal, each within its width."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
import time

import pytest

from nas.cli.progress.layout import layout
from nas.cli.progress.progress import Progress
from nas.cli.progress.screen import Above, Screen
from nas.cli.progress.tracker import Tracker
from nas.notice import notice, shown_notices
from nas.problem import report_end

LONG = "dgl " + " ".join(f"{cut}:conv(depth=4,reduction=4)" for cut in range(1, 14)) + " seed 0"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def on_terminal(patch: pytest.MonkeyPatch, term: str = "xterm-256color") -> Terminal:
    """stderr as a terminal of 80 columns; called in the test itself, whose stderr is another than that of fixtures."""
    stream = Terminal()
    patch.setenv("TERM", term)
    patch.delenv("NO_COLOR", raising=False)
    patch.delenv("FORCE_COLOR", raising=False)
    patch.setattr(sys, "stderr", stream)
    return stream


def some_work(progress: Progress, clock: Clock) -> None:
    progress("runs", 0, 2)
    for number in range(2):
        for step in range(5):
            progress(f"{LONG}{number}", step, 4, loss=0.5)
            clock.now += 10
        report_end(progress, f"{LONG}{number}", 0.25, failed=number == 1)
        progress("runs", number + 1, 2)


def test_a_log_has_plain_lines_now_and_then(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress(quiet=False, clock=clock) as progress:
        some_work(progress, clock)
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert told.out == "" and len(lines) == 4 and not re.search("[\x00-\x09\x0b-\x1f]", told.err)
    assert lines[0].startswith(f"{LONG}0: 3 of 4, loss 0.5, 0.1 it/s") or "10.0 s/it" in lines[0]
    assert "ended, val error 25.00 %, took 50 s, 1 of 2 runs, about 50 s left" in lines[1]
    assert "ended, failed, took 50 s, 2 of 2 runs" in lines[3]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress(quiet=True, clock=clock) as progress:
        some_work(progress, clock)
    assert capsys.readouterr() == ("", "")


def test_a_dumb_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = on_terminal(monkeypatch, "dumb")
    with Progress(quiet=False, clock=clock) as progress:
        some_work(progress, clock)
    assert "\x1b" not in terminal.getvalue() and "\r" not in terminal.getvalue() and "1 of 2 runs" in terminal.getvalue()


def test_bars_are_gone_in_the_end_and_notices_stand_above(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = on_terminal(monkeypatch)
    with shown_notices(), Progress(quiet=False, clock=clock) as progress:
        some_work(progress, clock)
        notice("told \x1b[2J meanwhile")
        print("half a line", end="", file=sys.stderr)
    told = terminal.getvalue()
    assert "1 of 2 runs" in told and "best 25.00 % val error" in told and "1 failed" in told
    assert "told \\x1b[2J meanwhile\r\n" in told and "\x1b[2J" not in told
    assert told.index("told") < told.index("half a line\r\n") and told.rstrip().endswith("half a line")
    assert sys.stderr is terminal


def test_time_goes_on_while_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.cli.progress.progress.IDLE", 0.01)
    monkeypatch.setattr("nas.cli.progress.progress.SECONDS", 0.0)
    monkeypatch.setattr("nas.cli.progress.progress.QUICK", 0.0)
    terminal = on_terminal(monkeypatch)
    before = threading.active_count()
    with Progress(quiet=False) as progress:
        progress("runs", 0, 2)
        until = time.monotonic() + 60
        while terminal.getvalue().count("0 of 2 runs") < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert terminal.getvalue().count("0 of 2 runs") >= 3 and threading.active_count() == before


def test_no_color_leaves_colours_out(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = on_terminal(monkeypatch)

    def coloured() -> bool:
        terminal.truncate(0)
        with Progress(quiet=False, clock=clock) as progress:
            some_work(progress, clock)
        return bool(re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.getvalue()))

    assert coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()


def test_names_are_no_markup_and_no_controls(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress(quiet=False, clock=clock) as progress:
        progress("[red]own[/red] \x1b[31m", 0, 10)
        clock.now += 1
        progress("[red]own[/red] \x1b[31m", 5, 10)
    assert "[red]own[/red] \\x1b[31m" in terminal.getvalue()


@pytest.mark.parametrize("columns", [10, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("lines", [1, 2, 5, 24])
@pytest.mark.parametrize("workers", [(0,), (1, 2, 3, 4)])
def test_lines_fit_every_window(columns: int, lines: int, workers: tuple[int, ...], clock: Clock) -> None:
    tracker = Tracker(clock)
    tracker.told("searches", 1, 3, 0, {})
    tracker.told("trials", 3, 20, 0, {})
    for worker in workers:
        tracker.told(LONG, 0, 1000, worker, {})
        clock.now += 7
        tracker.told(LONG, 100 * worker + 5, 1000, worker, {"loss": 1.23456, "validation_error": 0.123})
    report_end(lambda *told, **figures: tracker.told(*told, 0, figures), "a", 0.1, failed=False)  # type: ignore[arg-type]
    report_end(lambda *told, **figures: tracker.told(*told, 0, figures), "b", 0.1, failed=True)  # type: ignore[arg-type]
    shown = layout(tracker, columns, lines)
    assert 1 <= len(shown) <= lines and all(line.cell_len <= columns for line in shown)
    text = "\n".join(line.plain for line in shown)
    if columns >= 40 and lines >= 24:
        assert "1 of 3 searches, 5 of 20 trials" in text and "best 10.00 % val error" in text and "1 failed" in text
        assert text.count(" %  ") + text.count(" %\n") + text.endswith(" %") >= len(workers)


class Window:
    """As much of a terminal as the screen speaks to: lines, of which long ones take several rows."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows, self.row, self.column = columns, [""], 0, 0

    def write(self, text: str) -> int:
        for part in re.findall(r"\x1b\[\d*[A-Z]|[\r\n]|[^\x1b\r\n]", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif part.endswith("A") and part[0] == "\x1b":
                self.row = max(0, self.row - int(part[2:-1]))
            elif part == "\x1b[K":
                self.rows[self.row] = self.rows[self.row][: self.column]
            elif part == "\x1b[J":
                self.rows = [*self.rows[: self.row], self.rows[self.row][: self.column]]
            else:
                assert self.column < self.columns, "nothing is drawn in the last column"
                self.rows[self.row] = self.rows[self.row][: self.column].ljust(self.column) + part
                self.column += 1
        return len(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return -1


def test_a_drawing_takes_the_place_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(80)
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((window.columns, 24)))
    screen = Screen(window)  # type: ignore[arg-type]
    stream = Above(screen, io.StringIO(), str)
    stream.write("before\n")
    screen.draw([("one", 3), ("two", 3), ("three", 5)])
    assert window.rows == ["before", "one", "two", "three"]
    screen.draw([("1", 1), ("2", 1)])
    assert window.rows == ["before", "1", "2"]
    stream.write("mean")
    assert window.rows == ["before", "1", "2"]
    stream.write("while\n")
    assert window.rows == ["before", "meanwhile", ""]
    screen.draw([("x" * 70, 70), ("y", 1)])
    window.columns = 40  # the terminal makes two rows of the first line
    window.rows = ["before", "meanwhile", "x" * 40, "x" * 30, "y"]
    window.row, window.column = 4, 1
    screen.draw([("z", 1)])
    assert window.rows == ["before", "meanwhile", "z"]
    screen.clear()
    assert window.rows == ["before", "meanwhile", ""]
