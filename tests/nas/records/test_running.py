"""What is running: told by the processes that are at it, and no ghost is left of one that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nas.records import heartbeat
from nas.records.beat_files import BeatFiles
from nas.records.heartbeat import Heartbeat, Task
from nas.records.pace import Pace
from nas.records.results import Results
from nas.records.running import at_work

ROOT = Path(__file__).resolve().parents[3]
RUN = {"run": "0123456789abcdef", "method": "dgl", "decoupling": "2:linear", "task": "digits", "seed": 3}
WORKER = """
import sys
from nas.records import heartbeat
from nas.records.heartbeat import Task
from nas.records.results import Results
heartbeat.SECONDS_TO_FIRST = heartbeat.SECONDS_BETWEEN = 0.01
results, run = Results(sys.argv[1]), Task({"run": sys.argv[2], "method": "dgl"})
with results.heartbeat.telling(Task({"command": "python run.py evaluate"}), run):
    run.tell("training", 5, 10, {"loss": 0.5})
    while not any(beat.is_alive and "0.5" in beat.text for beat in results.beats.read()):
        pass
    print(flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SECONDS_TO_FIRST", 0.001)
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN", 0.001)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


def worker(results: Results, run: str = "0123") -> subprocess.Popen[bytes]:
    """Another process that is at a run until it is written to or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(results), run], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"\n"
    return process


def wait_until_told(results: Results, text: str, *, without: str | None = None) -> None:
    until = time.monotonic() + 60
    while not any(text in beat.text and (without is None or without not in beat.text) for beat in results.beats.read()):
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_process_tells_what_it_is_at_until_it_is_done(results: Results) -> None:
    run, command = Task(RUN), Task({"command": "python run.py evaluate"})
    with results.heartbeat.telling(command):
        results.heartbeat.steps(lambda *told, **figures: None)("runs", 2, 6)
        with results.heartbeat.telling(run):
            run.tell("training", 40, 100, {"loss": 0.25, "validation_error": 0.5})
            run.tell("training", 50, 100, {"loss": 0.125})
            wait_until_told(results, "0.125")
            found = at_work(results.beats.read())
        wait_until_told(results, '"total": 6', without="dgl")
        assert at_work(results.beats.read()).runs == () and len(at_work(results.beats.read()).commands) == 1
    (one,), (of,) = found.runs, found.commands
    assert (one.run, one.method, one.decoupling, one.task, one.seed) == (*map(str, RUN.values()),)
    assert (one.iteration, one.iterations, one.loss, one.validation_error) == (50, 100, 0.125, 0.5)
    assert (one.who, one.is_killed, of.what, of.done, of.total) == (f"process {os.getpid()}", False, "runs", 2, 6)
    assert one.seconds_left is None, "nobody can say yet"
    assert at_work(results.beats.read()) == at_work(results.beats.read(), ()) and results.beats.read() == []
    assert not (Path(str(results)) / ".running").exists()


def test_of_a_killed_process_no_ghost_is_left(results: Results) -> None:
    with worker(results) as process:
        (alive,) = at_work(results.beats.read()).runs
        process.send_signal(signal.SIGKILL)
        process.wait()
        (dead,), (command,) = at_work(results.beats.read()).runs, at_work(results.beats.read()).commands
    assert not alive.is_killed and dead.is_killed and command.is_killed and dead.seconds_left is None
    assert (alive.run, alive.iteration, alive.loss, alive.who) == ("0123", 5, 0.5, f"process {process.pid}")
    assert at_work(results.beats.read(), done={"0123"}).runs == ()
    with worker(results) as other:  # which takes the run up
        (taken,) = at_work(results.beats.read()).runs
        assert (taken.who, taken.is_killed) == (f"process {other.pid}", False) and len(
            at_work(results.beats.read()).commands
        ) == 1
        assert len(results.beats.read()) == 1, "what the killed one told is removed"
        other.communicate(b"\n")
    assert at_work(results.beats.read()).runs == ()


def test_what_another_run_s_killed_process_told_stays(results: Results) -> None:
    with worker(results, "0123") as process:
        process.kill()
    with worker(results, "4567") as process:
        assert [(one.run, one.is_killed) for one in at_work(results.beats.read()).runs] == [("4567", False), ("0123", True)]
        process.communicate(b"\n")


def test_what_a_command_killed_between_runs_told_stays_until_it_is_old(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(str(results)) / ".running"
    folder.mkdir(parents=True)
    (folder / "other.json").write_text('{"process": "process 1", "host": "h", "tasks": [{"command": "python run.py evaluate"}]}')
    with worker(results) as process:
        assert (folder / "other.json").exists()
        process.communicate(b"\n")
    monkeypatch.setattr(heartbeat, "OLDEST", -1.0)
    with results.heartbeat.telling(Task(RUN)):
        wait_until_told(results, "dgl")
        assert not (folder / "other.json").exists()


def test_a_reader_never_takes_a_living_writer_for_a_dead_one(tmp_path: Path) -> None:
    writer, reader, ended = BeatFiles(tmp_path / ".running"), BeatFiles(tmp_path / ".running"), threading.Event()
    writer.write("one", "0")

    def write() -> None:
        for number in range(200):
            writer.write("one", str(number % 10) * 500)
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    texts = set()
    while not ended.is_set():
        for beat in reader.read():
            assert beat.is_alive
            texts.add(beat.text)
    thread.join()
    assert texts <= {"0", *(str(digit) * 500 for digit in range(10))}, "each is whole"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"process": "x", "tasks": [{}]}', '{"process": 1, "host": "a", "tasks": [{"run": "r", "figures": []}]}'],
)
def test_files_of_others_are_passed_over(results: Results, text: str) -> None:
    folder = Path(str(results)) / ".running"
    folder.mkdir(parents=True)
    (folder / "other.json").write_text(text)
    (folder / "link.json").symlink_to("/etc/passwd")
    assert at_work(results.beats.read()).runs == at_work(results.beats.read()).commands == ()


def test_control_characters_of_others_are_left_out(results: Results) -> None:
    folder = Path(str(results)) / ".running"
    folder.mkdir(parents=True)
    task = {"run": "r\x1b[31m", "method": "m" * 1000, "since": "now", "figures": {}}
    (folder / "other.json").write_text(json.dumps({"process": 1, "host": "h\n", "tasks": [task]}))
    (one,) = at_work(results.beats.read()).runs
    assert (one.run, len(one.method), one.where, one.is_killed) == ("r[31m", 400, "h", True)


def test_what_cannot_be_told_does_not_stop_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    beats, tried = BeatFiles(tmp_path / "file" / ".running"), threading.Event()
    write = beats.write

    def told(name: str, text: str) -> None:
        tried.set()
        write(name, text)

    beats.write = told  # type: ignore[method-assign]
    with Heartbeat(beats).telling(Task(RUN)):
        assert tried.wait(60)
    assert threading.active_count() < 50 and (tmp_path / "file").read_text() == ""


def test_a_forked_process_tells_nothing_of_its_parent_s_work(results: Results) -> None:
    with results.heartbeat.telling(Task(RUN)):
        wait_until_told(results, RUN["run"])
        if (child := os.fork()) == 0:
            with results.heartbeat.telling(Task({"run": "child"})):
                try:
                    wait_until_told(results, "child")
                    mine = [beat.text for beat in results.beats.read() if "child" in beat.text]
                    os._exit(RUN["run"] in mine[0])
                finally:
                    os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_time_left_is_that_of_the_pace_so_far() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    assert pace.seconds_left(10) is None
    for done in (4, 5, 6):
        pace.tell(done)
        now[0] += 2.0
    assert pace.seconds_left(10) == 4 * 2.0 - 2.0, "of which two have passed"
    assert pace.seconds_left(6) is None
    pace.tell(0)  # another of the same name
    assert pace.seconds_left(10) is None


def test_runs_that_are_there_already_say_nothing_of_the_pace() -> None:
    now = [0.0]
    pace = Pace(skips=True, clock=lambda: now[0])
    for done in (1, 2, 3):
        pace.tell(done)
        now[0] += 0.001
    for done in (4, 5):
        now[0] += 10.0
        pace.tell(done)
    assert pace.seconds_left(10) == pytest.approx(5 * 10.0, rel=0.01)
