"""A claim keeps every other process out, and dies with its holder."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nas.claim import Claim

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from nas.claim import Claim
with Claim(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "0123"


def holder(folder: Path) -> subprocess.Popen:
    """Another process that has the claim until it is written to or killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"\n"
    return process


def free(folder: Path) -> bool:
    claim = Claim(folder)
    taken = claim.try_take()
    claim.release()
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
    claim = Claim(folder)
    assert claim.try_take()

    def wait() -> None:
        with Claim(folder):
            order.append("second")

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.2)
    order.append("first")
    claim.release()
    waiting.join()
    assert order == ["first", "second"]


def test_is_given_up_when_what_it_guards_fails(folder: Path) -> None:
    with pytest.raises(KeyError), Claim(folder):
        assert not free(folder)
        raise KeyError
    assert free(folder)


def test_claims_on_different_folders_do_not_meet(folder: Path) -> None:
    with Claim(folder):
        assert free(folder.with_name("4567"))


def test_the_folder_may_go_under_its_claim(folder: Path) -> None:
    with Claim(folder):
        folder.mkdir()
        folder.rmdir()
        assert not free(folder)


def test_giving_up_twice_or_unclaimed_is_harmless(folder: Path) -> None:
    claim = Claim(folder)
    claim.release()
    assert claim.try_take()
    claim.release()
    claim.release()
    assert free(folder)
