"""What is served follows what is written, and nothing is read that did not change."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.records.beat_files import BeatFiles
from nas.records.results import Results
from nas.watch import watched as module
from nas.watch.watched import Watched
from tests.nas.records.test_running import worker

ROOT = Path(__file__).resolve().parents[3]
ROWS = ROOT / "results" / "digits" / "evaluate.csv"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def watched(folder: Path) -> Watched:
    return Watched([str(folder)], (), "A title")


def now(watched: Watched) -> dict[str, Any]:
    return json.loads(watched.now().text())


def lines(folder: Path, count: int) -> None:
    """So many rows in the file."""
    folder.mkdir(exist_ok=True)
    text = ROWS.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "evaluate.csv").write_text("".join(text[: count + 1]), encoding="utf-8")


def test_it_begins_before_anything_is_there_and_follows_what_comes(watched: Watched, folder: Path) -> None:
    first = watched.data()
    assert now(watched)["finished"] == 0 and now(watched)["asked"] is None
    assert "<title>A title</title>" in watched.page().text()
    lines(folder, 3)
    second = watched.data()
    assert second.version != first.version and now(watched)["finished"] == 3
    data = json.loads(second.text())
    assert data["running"]["version"] == now(watched)["version"] and len(data["tables"]) > 0
    shutil.rmtree(folder)
    assert now(watched)["finished"] == 0 and watched.data().version not in (first.version, second.version)


def test_an_unchanged_state_is_not_read_again(watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(folder, 3)
    versions = {watched.data().version}
    monkeypatch.setattr(module, "read_given", lambda *given: pytest.fail("read again"))
    versions |= {watched.data().version, watched.now().version, watched.page().version}
    assert len(versions) == 1


def test_many_rows_are_not_read_all_the_time(watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST", 1e6)
    lines(folder, 3)
    version = watched.data().version
    lines(folder, 4)
    assert watched.data().version == version and now(watched)["finished"] == 3


def test_a_file_that_is_half_written_or_broken_is_a_warning_and_then_not(watched: Watched, folder: Path) -> None:
    lines(folder, 4)
    path = folder / "evaluate.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(whole.splitlines()[-1]) // 2])  # as while the last row is written
    assert now(watched)["finished"] == 3
    path.write_bytes(b"a,b\n1\n")
    data = json.loads(watched.data().text())
    assert data["running"]["finished"] == 0 and any("evaluate.csv" in one for one in data["warnings"])
    path.unlink()
    path.write_bytes(whole)
    data = json.loads(watched.data().text())
    assert data["running"]["finished"] == 4 and not any("evaluate.csv" in one for one in data["warnings"])


def test_a_condition_that_no_row_meets_yet_is_a_warning(folder: Path) -> None:
    watched = Watched([str(folder)], ["seed=0"], "A title")
    lines(folder, 0)
    assert now(watched)["finished"] == 0
    lines(folder, 3)
    assert now(watched)["finished"] >= 1


def test_rows_that_failed_say_why(watched: Watched, folder: Path) -> None:
    lines(folder, 2)
    log = Results(folder).log("evaluate.csv")
    row = log.rows()[0]
    log.append({**row, "seed": "99", "run": "f" * 16, "status": "out of memory: <b>much</b>", "attempts": 2, "test_error": ""})
    (failed,) = now(watched)["failed"]
    assert (failed["reason"], failed["attempts"], failed["seed"]) == ("out of memory: <b>much</b>", "2", "99")
    assert now(watched)["failed_runs"] == 1 and "<b>much" not in watched.page().text()


def test_a_store_that_does_not_answer_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    watched = Watched(["postgresql://me:geheim@127.0.0.1:1/db"], (), "A title")
    data = json.loads(watched.data().text())
    assert "127.0.0.1:1/db cannot be used" in data["running"]["trouble"] and any("127.0.0.1:1" in one for one in data["warnings"])
    assert "geheim" not in watched.page().text() + watched.data().text() + watched.now().text() + watched.now().version


def test_a_killed_process_is_shown_as_killed(watched: Watched, folder: Path) -> None:
    quiet = watched.now().version
    with worker(Results(folder)) as process:
        version = watched.now().version
        (alive,) = now(watched)["runs"]
        process.send_signal(signal.SIGKILL)
    (dead,) = now(watched)["runs"]
    assert (alive["killed"], dead["killed"]) == (False, True) and alive["iteration"] == dead["iteration"] == 5
    assert len({quiet, version, watched.now().version}) == 3


def test_commands_that_share_the_work_are_counted_once(watched: Watched, folder: Path) -> None:
    beats = BeatFiles(folder / ".running")
    for process, done in ((1, 4), (2, 5)):
        command = f"python run.py evaluate --seeds 3 --runs 'runs {process}'{' --json' * (process - 1)}"  # on two hosts
        steps = {"what": "runs", "done": done, "total": 6, "seconds_left": 6000.0}
        task = {"command": command, "since": "now", "figures": {}, **steps}
        beats.write(f"process-{process}", json.dumps({"process": process, "host": "h", "tasks": [task]}))
    found = now(watched)
    assert (found["finished"], found["asked"], len(found["commands"])) == (5, 6, 2) and 5000 < found["seconds_left"] <= 6000
    for process in (1, 2):
        beats.remove(f"process-{process}")
    assert now(watched)["commands"] == []


@pytest.mark.slow
def test_the_command_says_where_the_page_is_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    import urllib.request

    command = [sys.executable, str(ROOT / "run.py"), "watch", "nowhere"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with urllib.request.urlopen(f"{url}now.json", timeout=60) as answer:
        assert json.load(answer)["runs"] == []
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and "nowhere live" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == [], "it writes nothing"
    assert os.path.basename(url.rstrip("/")).startswith("127.0.0.1:")
