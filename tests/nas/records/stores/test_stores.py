"""What every results store holds: the same tests on a folder of CSV files and on a PostgreSQL database."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from methods.training.epoch import Epoch
from nas.records import heartbeat
from nas.records.heartbeat import Task
from nas.records.history import History, next_training, rows_of
from nas.records.results import Results, log_at
from nas.records.row_kinds import HISTORY, RowKind
from nas.records.running import at_work
from spaces.notation.errors import UserError

ROOT = Path(__file__).resolve().parents[4]
NASTY = ["a,b", '"', 'a"b', "'", " led ", "", "ü日本🙂", "a;b\tc", "\ufeff", "\u2028\x85\x0b", "\\", "{}", "null", "\x01", "%s"]


@pytest.fixture(params=["folder", pytest.param("postgres", marks=pytest.mark.slow)])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Results:
    return Results(tmp_path / "results" if request.param == "folder" else request.getfixturevalue("postgres_url"))


def started(results: Results, script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that has `results` and runs the script once it is told to go on."""
    preamble = "import os, pickle, sys, time\nfrom pathlib import Path\nresults = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
    return subprocess.Popen(
        [sys.executable, "-c", preamble + script, pickle.dumps(results).hex(), *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_nothing_is_there_before_something_is_appended(results: Results) -> None:
    log = results.log("toy.csv")
    results.check()
    log.check_ready()
    assert log.rows() == log.find_all({"a": 1}) == [] and log.find({}) is None
    assert results.names() == [] and results.below("toy.csv") == {}
    log.append({"a": 1})
    assert results.names() == ["toy.csv"] and [one.rows() for one in results.below("toy.csv").values()] == [[{"a": "1"}]]


def test_cells_are_read_back(results: Results) -> None:
    log = results.log("toy.csv")
    row = {f"c{number}": text for number, text in enumerate(NASTY)}
    log.append(row)
    log.append(
        {"c0": "line\nbreak\r\nand\rmore", "c1": None, "c2": True, "c3": -7, "c4": 0.1, "c5": "zero\0byte", "c6": "\udcff"}
    )
    first, second = results.log("toy.csv").rows()
    assert first == row
    assert [second[f"c{number}"] for number in range(7)] == [
        "line break and more", "", "True", "-7", "0.1", "zero\\x00byte", "\\udcff",
    ]  # fmt: skip
    assert log.find({"c0": "a,b", "c4": " led "}) == first and log.find({"c5": "zero\0byte"}) == second


def test_columns_are_in_the_order_in_which_they_came(results: Results) -> None:
    logs = [results.log("toy.csv") for _ in range(2)]
    logs[0].append({"b": 1, "a": 2})
    assert logs[1].rows() == [{"b": "1", "a": "2"}]
    logs[1].append({"c,": 3, "a": 4, "d": None})
    logs[0].append({"b": 5})
    for log in (*logs, results.log("toy.csv")):
        assert [list(row.values()) for row in log.rows()] == [["1", "2", "", ""], ["", "4", "3", ""], ["5", "", "", ""]]
        assert list(log.rows()[0]) == ["b", "a", "c,", "d"]


def test_find_agrees_with_a_linear_scan(results: Results) -> None:
    generator = random.Random(1)
    logs = [results.log("shared.csv") for _ in range(3)]
    choices: dict[str, list[Any]] = {"method": ["a", "b"], "lr": [0.1, 1.0], "seed": [0, 1, None], "flag": [True, False]}
    found = 0
    for number in range(40):
        columns = list(choices) if number >= 20 else list(choices)[:2]  # two columns come later
        generator.choice(logs).append({column: generator.choice(choices[column]) for column in columns} | {"number": number})
        rows = results.log("shared.csv").rows()
        for log in logs:
            key = {column: generator.choice(choices[column]) for column in generator.sample(list(choices), 2)}
            texts = {column: "" if value is None else str(value) for column, value in key.items()}
            match = [row for row in rows if all(row.get(column, "") == text for column, text in texts.items())]
            assert log.find_all(key) == match and log.find(key) == (match[0] if match else None)
            found += bool(match)
    assert 30 < found < 120


def test_a_key_is_appended_once_whoever_asks(results: Results) -> None:
    one, other = results.log("toy.csv"), results.log("toy.csv")
    for log in (one, other, one):
        log.append_once({"run": "x", "by": id(log)}, {"run": "x"})
    other.append_once({"run": "y"}, {"run": "y", "by": None})
    assert [row["run"] for row in one.rows()] == ["x", "y"] and one.rows()[0]["by"] == str(id(one))


def test_rows_come_together_or_not_at_all(results: Results) -> None:
    log = results.log("toy.csv")
    log.append_all([{"a": number} for number in range(3)])
    for column in ("", "1st", "0.5"):
        with pytest.raises(UserError, match="starts with a letter"):
            log.append_all([{"a": 7}, {column: 1}])
    assert [row["a"] for row in log.rows()] == ["0", "1", "2"] and list(log.rows()[0]) == ["a"]


def test_a_row_that_is_none_of_its_kind_is_named(results: Results) -> None:
    kind = RowKind("toy", ("seed",))
    results.log("one.csv").append({"search": "a"})
    results.log("two.csv").append_all([{"seed": 1}, {"seed": "many"}])
    results.log("three.csv").append_all([{"seed": 1, "a": 1}, {"seed": None, "a": 2}])
    for name, says in (
        ("one.csv", "every toy has seed"),
        ("two.csv", r"two\.csv.*(line 3|id 2).*column seed holds"),
        ("three.csv", r"three\.csv.*(line 3|id 2).*column seed is empty"),
    ):
        for _ in range(2):
            with pytest.raises(UserError, match=says):
                results.log(name, kind).rows()


def test_five_thousand_rows(results: Results) -> None:
    log, reader = results.log("big.csv"), results.log("big.csv")
    log.append_all([{"number": number, "text": "x" * 50, "run": f"r{number % 50}"} for number in range(5000)])
    assert len(reader.find_all({"run": "r7"})) == 100
    log.append({"number": "last", "run": "r7"})
    assert reader.find_all({"run": "r7"})[-1]["number"] == "last"
    assert [row["number"] for row in reader.rows()] == [*map(str, range(5000)), "last"]


def test_where_it_lies_can_be_asked_for(results: Results) -> None:
    log = results.log("exits.csv")
    log.append({"a": 1})
    assert log.rows() == [{"a": "1"}]
    assert log.where.partition("?")[0].endswith("/exits.csv") and log.where in log.row_at(0)
    if "://" not in log.where:
        assert log_at(log.where).rows() == log.rows()


@pytest.mark.slow
def test_processes_that_append_at_once_lose_and_double_nothing(results: Results) -> None:
    script = """
log, writer = results.log("shared.csv"), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    row = {"writer": writer, "number": number, "text": f"{writer},{number}" * 50}
    if number > 10 + writer:
        row[f"late{writer % 2}"] = number
    log.append(row)
    log.append_once({"once": number, "text": "x"}, {"once": number})
"""
    processes = [started(results, script, writer) for writer in range(4)]
    assert [said(process) for process in processes] == ["ready"] * 4
    for process in processes:
        go(process)
    log, sizes = results.log("shared.csv"), set()
    while any(process.poll() is None for process in processes):
        rows = log.rows()
        sizes.add(len(rows))
        assert all(row["text"] == f"{row['writer']},{row['number']}" * 50 for row in rows if row["writer"])
    assert [process.communicate()[1] for process in processes] == [""] * 4
    rows = log.rows()
    came = sorted((int(row["writer"]), int(row["number"])) for row in rows if row["writer"])
    assert came == [(writer, number) for writer in range(4) for number in range(25)]
    assert sorted(int(row["once"]) for row in rows if row.get("once")) == list(range(25))
    assert results.log("shared.csv").rows() == rows and sorted(list(rows[0])[:3]) == ["number", "text", "writer"]


def test_a_run_is_claimed_by_one(results: Results, tmp_path: Path) -> None:
    one, other, third = (results.claim(tmp_path / "runs" / name) for name in ("abc", "abc", "xyz"))
    assert one.holder() is None and one.try_take()
    assert not other.try_take() and third.try_take()
    assert other.holder() and f"process {os.getpid()} on " in str(other.holder())
    other.release()  # which is not its to give up
    assert not other.try_take()
    one.release()
    one.release()
    third.release()
    assert one.holder() is None and list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(KeyError), other:
        raise KeyError
    assert one.try_take()
    one.release()


def test_who_waits_says_for_whom(results: Results, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order: list[str] = []
    first = results.claim(tmp_path / "runs" / "abc")

    def wait() -> None:
        with results.claim(tmp_path / "runs" / "abc"):
            order.append("second")

    assert first.try_take()
    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.3)
    order.append("first")
    first.release()
    waiting.join()
    assert order == ["first", "second"]
    (line,) = caplog.messages
    assert line.startswith(f"waiting for process {os.getpid()} on ") and line.endswith(f"has the run {tmp_path}/runs/abc")


HOLDS = """
claim = results.claim(Path(sys.argv[2]))
print(claim.try_take(), flush=True)
sys.stdin.readline()
"""


def until(holds: Callable[[], bool]) -> bool:
    """Whether it holds within a minute."""
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.slow
def test_a_killed_process_has_no_claim_any_more(results: Results, tmp_path: Path) -> None:
    process = started(results, HOLDS, tmp_path / "runs" / "abc")
    claim = results.claim(tmp_path / "runs" / "abc")
    assert said(process) == "True" and not claim.try_take() and f"process {process.pid} on" in str(claim.holder())
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and until(claim.try_take)
    claim.release()
    process.communicate()


@pytest.mark.slow
def test_a_process_that_was_forked_keeps_no_claim_of_its_parent(results: Results, tmp_path: Path) -> None:
    """As a data loader's, which may live on for a while after its parent was killed; nor does its end end the parent's."""
    if "://" not in str(results):
        pytest.skip("the kernel's lock is on a file that both have open")
    script = """
claim, log = results.claim(Path(sys.argv[2])), results.log("toy.csv")
print(claim.try_take(), flush=True)
if os.fork() == 0:
    log.append({"by": "child"})
    os._exit(0)
os.wait()
log.append({"by": "parent"})
print(claim.holder(), flush=True)
if os.fork() == 0:
    os.close(1)
    time.sleep(60)
sys.stdin.readline()
"""
    process = started(results, script, tmp_path / "runs" / "abc")
    claim = results.claim(tmp_path / "other_runs" / "abc")
    assert said(process) == "True" and f"process {process.pid} on" in said(process)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(process.pid, signal.SIGKILL)
    try:
        assert process.wait() == -signal.SIGKILL and until(claim.try_take)
    finally:
        os.kill(int(children), signal.SIGKILL)
    claim.release()
    assert [row["by"] for row in results.log("toy.csv").rows()] == ["child", "parent"]
    process.communicate()


def test_results_can_be_sent_to_other_processes_and_compared(results: Results) -> None:
    results.log("toy.csv").append({"a": 1})
    sent = pickle.loads(pickle.dumps(results))
    assert sent == results and hash(sent) == hash(results) and sent.log("toy.csv").rows() == [{"a": "1"}]


def test_a_history_has_each_epoch_of_each_training_once(results: Results) -> None:
    log, key = results.log("history.csv", HISTORY), {"method": "dgl", "decoupling": "3:linear", "task": "toy", "seed": 0}

    def epoch(iteration: int) -> Epoch:
        return Epoch(iteration, iteration / 3, (2.0, 1.5), (0.5, 0.25), 0.25, 1.25, 0.1, float(iteration))

    assert next_training(log, "one") == 1
    for iteration in (3, 6, 6, 3, 9):  # as where a run goes on from a checkpoint before what was told
        History(log, key, "one", 1).record(epoch(iteration))
    assert [row["iteration"] for row in rows_of(log, "one", 1)] == ["3", "6", "9"] and next_training(log, "one") == 2
    again = History(log, key, "one", 2)
    again.record(epoch(3))
    again.copy_to("one")
    again.copy_to("other")
    again.copy_to("other")
    assert len(log.rows()) == 5 and rows_of(log, "other", 2) == [{**row, "run": "other"} for row in rows_of(log, "one", 2)]
    assert rows_of(results.log("history.csv", HISTORY), "one", 1) == rows_of(log, "one", 1)


TELLS = """
results.beats.write("one", "who")
beats = results.beats
beats.write("mine", "something"); beats.write("mine", "more")
print("told", flush=True)
sys.stdin.readline()
beats.remove("mine")
print("removed", flush=True)
sys.stdin.readline()
beats.write("mine", "again")
print("told", flush=True)
sys.stdin.readline()
"""


def test_what_processes_tell_is_there_until_they_are_done_or_killed(results: Results) -> None:
    assert results.beats.read() == []
    with started(results, TELLS) as process:
        assert said(process) == "told"
        told = {beat.name: beat for beat in results.beats.read()}
        assert (told["mine"].text, told["mine"].is_alive) == ("more", True) and 0 <= told["mine"].seconds_ago < 600
        go(process)
        assert said(process) == "removed" and "mine" not in {beat.name for beat in results.beats.read()}
        go(process)
        assert said(process) == "told"
        process.kill()
        process.wait()
        until = time.monotonic() + 60
        while any(beat.is_alive for beat in results.beats.read()):  # a server notices in a moment
            assert time.monotonic() < until
    assert {beat.name: beat.text for beat in results.beats.read()}["mine"] == "again"
    for beat in results.beats.read():
        results.beats.remove(beat.name)
    assert results.beats.read() == []


def test_what_one_process_tells_in_its_thread_another_reads(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SECONDS_TO_FIRST", 0.001)
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN", 0.001)
    task = Task({"run": "0123", "method": "dgl"})
    with results.heartbeat.telling(task):
        task.tell("training", 1, 2, {"loss": 0.5, "validation_error": float("nan")})
        until = time.monotonic() + 60
        while not (runs := at_work(results.beats.read()).runs) or runs[0].iteration is None:
            assert time.monotonic() < until
    assert [(run.run, run.iteration, run.loss, run.validation_error, run.is_killed) for run in runs] == [
        ("0123", 1, 0.5, None, False)
    ]
    assert results.beats.read() == []


def test_a_stamp_is_another_as_soon_as_a_row_is(results: Results) -> None:
    stamps = [results.stamp()]
    log = results.log("toy.csv")
    for number in range(3):
        log.append({"a": number})
        stamps.append(results.stamp())
    results.log("other.csv").append({"a": 1})
    stamps.append(results.stamp())
    assert len(set(map(repr, stamps))) == len(stamps) and results.stamp() == stamps[-1]
