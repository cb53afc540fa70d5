"""The program ends early with a line and a code, and streams that nobody reads cost nothing. What needs a process of its own
imports no torch."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import run
from nas.cli.process import Ended, signals_raise_ended, unbroken_streams
from nas.notice import notice, shown_notices

ROOT = Path(__file__).resolve().parents[3]
START = "import os, signal, sys\nfrom nas.cli.process import *\nopen_streams()\nend_at_once_on_signals()\n"


def started(script: str, shell: str = "") -> subprocess.CompletedProcess:
    """A Python that does what run.py does first, and then the script; `shell` are redirections."""
    environment = os.environ | {"SCRIPT": START + script, "PYTHON": sys.executable}
    return subprocess.run(
        ["bash", "-c", f'"$PYTHON" -c "$SCRIPT" {shell}; exit ${{PIPESTATUS[0]}}'],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(autouse=True)
def hangup_is_heard() -> Iterator[None]:
    """SIGHUP does what it usually does, also where the tests themselves run under nohup, whose children ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_imports_is_a_line_and_a_code(number: signal.Signals) -> None:
    process = started(f"os.kill(os.getpid(), {int(number)})\nprint('went on')")
    assert (process.returncode, process.stdout, process.stderr) == (128 + number, "", "interrupted\n")


def test_what_was_ignored_stays_so() -> None:
    """As nohup has it, and shells for what they start in the background."""
    script = (
        "with signals_raise_ended():\n    os.kill(os.getpid(), signal.SIGHUP)\nos.kill(os.getpid(), signal.SIGHUP)\nprint('on')"
    )
    process = subprocess.run(
        ["bash", "-c", 'trap "" HUP; exec "$0" -c "$1"', sys.executable, START + script], cwd=ROOT, capture_output=True, text=True
    )
    assert (process.returncode, process.stdout) == (0, "on\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    script = (
        f"file = open({str(tmp_path / 'results.csv')!r}, 'w')\nfile.write('a\\n')\nassert file.fileno() > 2\n"
        "print('lost'); print('lost', file=sys.stderr); os.write(1, b'lost'); os.write(2, b'lost'); sys.stdin.read()"
    )
    process = started(script, closed + (" </dev/null" if "<" not in closed else ""))
    assert process.returncode == 0 and (tmp_path / "results.csv").read_text() == "a\n"


def full(shell: str) -> object:
    """A stream on a full disk, which only Linux has a device for."""
    return pytest.param(shell, marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full"))


@pytest.mark.parametrize("shell", ["2>&1 >/dev/null | true", full("2>/dev/full"), "2>&-"])
def test_a_broken_stderr_ends_nothing(shell: str, tmp_path: Path) -> None:
    script = (
        "import time\nwith unbroken_streams():\n    for _ in range(20):\n        print('x' * 10000, file=sys.stderr)\n"
        f"        time.sleep(0.01)\nopen({str(tmp_path / 'end')!r}, 'w')"
    )
    process = started(script, shell)
    assert (process.returncode, process.stderr) == (0, "") and (tmp_path / "end").exists()


@pytest.mark.parametrize("shell", ["| true", full(">/dev/full")])
def test_a_broken_stdout_says_nothing_at_exit(shell: str) -> None:
    script = (
        "import contextlib, time\nwith contextlib.suppress(OSError), unbroken_streams():\n"
        "    time.sleep(0.1)\n    print('x')\n    sys.stdout.flush()"
    )
    process = started(script, shell)
    assert (process.returncode, process.stderr) == (0, "")


def test_a_command_that_a_signal_ends_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    for number, by in ((signal.SIGINT, ""), (signal.SIGTERM, " by SIGTERM"), (signal.SIGHUP, " by SIGHUP")):
        monkeypatch.setattr("nas.cli.search.run_search", lambda asked, number=number: signal.raise_signal(number))
        assert run.main(["search"]) == 128 + number
        assert f"\ninterrupted{by}; finished rows are kept, go on with: " in capsys.readouterr().err
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_command_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def full(asked: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1073741824 bytes")

    monkeypatch.setattr("nas.cli.listing.run_list", full)
    assert run.main(["list"]) == 2
    assert capsys.readouterr().err.startswith("run.py: out of memory: 1.00 GiB more could not be had; try a smaller batch size")


def test_the_signal_that_came_is_known() -> None:
    with pytest.raises(Ended) as ended, signals_raise_ended():
        signal.raise_signal(signal.SIGTERM)
    assert (ended.value.exit_code, ended.value.said) == (143, "interrupted by SIGTERM")


def test_notices_are_lines_on_stderr_where_they_are_asked_for(capsys: pytest.CaptureFixture) -> None:
    notice("unheard")
    with unbroken_streams(), shown_notices():
        notice("50 % heard")
    assert capsys.readouterr().err == "50 % heard\n"
