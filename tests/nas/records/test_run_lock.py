"""A lock keeps every other process out, and dies with its holder."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nas.records.run_lock import RunLock
from spaces.notation.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from nas.records.run_lock import RunLock
from spaces.notation.errors import UserError
with RunLock(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "0123"


def holder(folder: Path) -> subprocess.Popen:
    """Another process that has the lock until it is written to or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"\n"
    return process


def free(folder: Path) -> bool:
    lock = RunLock(folder)
    taken = lock.try_take()
    lock.release()
    return taken


def test_another_process_keeps_it_until_it_gives_it_up(folder: Path) -> None:
    with holder(folder) as process:
        assert not free(folder)
        process.communicate(b"\n")
    assert free(folder)


def test_a_killed_process_keeps_nothing(folder: Path) -> None:
    with holder(folder) as process:
        assert not free(folder)
        os.kill(process.pid, signal.SIGKILL)
    assert free(folder)


def test_waits_for_its_turn(folder: Path) -> None:
    order = []
    lock = RunLock(folder)
    assert lock.try_take()

    def wait() -> None:
        with RunLock(folder):
            order.append("second")

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.2)
    order.append("first")
    lock.release()
    waiting.join()
    assert order == ["first", "second"]


def test_is_given_up_when_what_it_guards_fails(folder: Path) -> None:
    with pytest.raises(KeyError), RunLock(folder):
        assert not free(folder)
        raise KeyError
    assert free(folder)


def test_locks_on_different_folders_do_not_meet(folder: Path) -> None:
    with RunLock(folder):
        assert free(folder.with_name("4567"))


def test_the_folder_may_go_under_its_lock(folder: Path) -> None:
    with RunLock(folder):
        folder.mkdir()
        folder.rmdir()
        assert not free(folder)


def test_giving_up_twice_or_unlocked_is_harmless(folder: Path) -> None:
    lock = RunLock(folder)
    lock.release()
    assert lock.try_take()
    lock.release()
    lock.release()
    assert free(folder)


def test_a_lock_leaves_no_file_whoever_waits_for_it(folder: Path) -> None:
    """Processes that open, wait for and remove one lock file at once: never two at a time inside, and nothing is left."""
    script = """
import os, sys
from pathlib import Path
from nas.records.run_lock import RunLock
from spaces.notation.errors import UserError
folder = Path(sys.argv[1])
sys.stdin.readline()
for number in range(60):
    lock = RunLock(folder)
    if number % 3:
        lock.__enter__()
    elif not lock.try_take():
        continue
    os.close(os.open(folder.with_name("inside"), os.O_CREAT | os.O_EXCL))  # fails if another is inside
    os.unlink(folder.with_name("inside"))
    lock.release()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in processes] == [b""] * 4
    assert list(folder.parent.iterdir()) == []


def test_a_lock_takes_a_dead_ones_file_away_but_none_that_it_does_not_hold(folder: Path) -> None:
    with holder(folder) as process:
        assert not RunLock(folder).try_take() and folder.with_suffix(".lock").exists()
        os.kill(process.pid, signal.SIGKILL)
    lock = RunLock(folder)
    assert lock.try_take()
    folder.with_suffix(".lock").unlink()  # by hand, so that another takes a new one
    other = RunLock(folder)
    assert other.try_take()
    lock.release()
    assert not free(folder) and folder.with_suffix(".lock").exists()
    other.release()
    with RunLock(folder):
        pass
    assert not folder.with_suffix(".lock").exists()


def test_who_waits_says_for_whom_in_one_line(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holder(folder) as process:
        waiting = threading.Thread(target=lambda: RunLock(folder).__enter__().release())
        waiting.start()
        waiting.join(0.2)
        process.communicate(b"\n")
        waiting.join()
    (line,) = caplog.messages
    assert line.startswith(f"waiting for process {process.pid} on {socket.gethostname()} since 20")
    assert line.endswith(f"+00:00, which has the run {folder}")


def test_what_a_lock_file_says_is_shown_as_text(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = RunLock(folder)
    assert first.try_take()
    folder.with_suffix(".lock").write_bytes(b"\x1b[2J\xff evil\n\nname" + b"x" * 9999)
    waiting = threading.Thread(target=lambda: RunLock(folder).__enter__().release())
    waiting.start()
    waiting.join(0.1)
    first.release()
    waiting.join()
    assert len(caplog.messages) == 1 and caplog.messages[0].isprintable() and len(caplog.messages[0]) < 400 + len(str(folder))


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="unfinished runs lie in .* must be readable and writable, .* name another --runs"):
        RunLock(tmp_path / "file" / "run").try_take()
