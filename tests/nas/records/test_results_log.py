"""The results log against Python's own csv reader, real processes, real kills and a real file-size limit."""

import csv
import io
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nas.records.results_log import ResultsLog
from spaces.notation.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
NASTY = ["a,b", '"', 'a"b"', '""', "'", " led ", "", "ü日本🙂", "a;b\tc", "\ufeff", "\u2028\x85\x0b", "\\"]


@pytest.fixture
def log(tmp_path: Path) -> ResultsLog:
    return ResultsLog(tmp_path / "results.csv")


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def start(script: str, *arguments: object) -> subprocess.Popen:
    """A Python process that runs `script` once `go` was called; sys.argv[1:] are `arguments`."""
    preamble = "import sys\nfrom pathlib import Path\nfrom nas.records.results_log import ResultsLog\nsys.stdin.readline()\n"
    return subprocess.Popen(
        [sys.executable, "-c", preamble + script, *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def go(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_cells_read_back_by_another_reader(log: ResultsLog) -> None:
    row = {f"c{i}": text for i, text in enumerate(NASTY)}
    log.append(row)
    log.append({"c0": "line\nbreak\r\nand\rmore", "c1": None, "c2": True, "c3": -7, "c4": "\udcff"})
    first, second = read(log.path)
    assert first == row
    assert [second[f"c{i}"] for i in range(6)] == ["line break and more", "", "True", "-7", "\\udcff", ""]
    assert log.rows() == [first, second]
    assert log.path.read_bytes().count(b"\n") == 3


def test_floats_come_back_to_the_bit(log: ResultsLog) -> None:
    generator = random.Random(0)
    bits = [generator.getrandbits(64) for _ in range(1000)]
    values = [struct.unpack("<d", struct.pack("<Q", b))[0] for b in bits] + [0.1, -0.0, 5e-324, math.inf]
    values = [value for value in values if not math.isnan(value)]  # a NaN's payload is not kept
    log.append({f"f{i}": value for i, value in enumerate(values)} | {"nan": math.nan, "numpy": np.float64(0.1)})
    (row,) = log.rows()
    for i, value in enumerate(values):
        assert struct.pack("<d", float(row[f"f{i}"])) == struct.pack("<d", value)
    assert row["nan"] == "nan" and row["numpy"] == "0.1"


def test_a_missing_file_has_no_rows_and_stays_missing(log: ResultsLog) -> None:
    assert log.rows() == [] and log.find({"a": 1}) is None
    assert not list(log.path.parent.iterdir())
    log.path.touch()
    assert log.rows() == []
    log.append({"a": 1})
    assert log.path.read_text() == "a\n1\n"


def test_a_row_is_one_write(log: ResultsLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append({"a": 0, "b": ""})
    writes = []
    real = os.write

    def counted(file: int, data: bytes) -> int:
        writes.append(data)
        return real(file, data)

    monkeypatch.setattr(os, "write", counted)
    log.append({"a": 1, "b": "x" * 100_000})
    assert writes == [b"1," + b"x" * 100_000 + b"\n"]


def test_new_columns_go_to_the_end_and_missing_ones_stay_empty(log: ResultsLog) -> None:
    log.append({"b": 1, "a": 2})
    log.path.chmod(0o640)
    reader = ResultsLog(log.path)
    assert reader.rows() == [{"b": "1", "a": "2"}]
    with open(log.path) as handle:
        log.append({"c,": 3, "a": 4, "d": None})
        assert handle.read() == "b,a\n1,2\n"  # who holds the old file has all of it
    log.append({"b": 5})
    assert log.path.read_text() == 'b,a,"c,",d\n1,2,,\n,4,3,\n5,,,\n'
    assert reader.rows() == log.rows() == read(log.path)
    assert log.path.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in log.path.parent.iterdir()} == {"results.csv", ".results.csv.lock"}


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "there" / "real.csv")
    log = ResultsLog(tmp_path / "link.csv")
    log.append({"a": 1})
    log.append({"b": 2})
    assert (tmp_path / "link.csv").is_symlink()
    assert read(tmp_path / "there" / "real.csv") == [{"a": "1", "b": ""}, {"a": "", "b": "2"}]


def test_find_agrees_with_a_linear_scan(tmp_path: Path) -> None:
    generator = random.Random(1)
    writers = [ResultsLog(tmp_path / "shared.csv"), ResultsLog(tmp_path / "shared.csv")]
    reader = ResultsLog(tmp_path / "shared.csv")
    choices: dict[str, list] = {"method": ["a", "b"], "lr": [0.1, 1.0], "seed": [0, 1, None], "flag": [True, False]}
    found = 0
    for number in range(60):
        columns = list(choices) if number >= 20 else list(choices)[:2]  # two columns come later
        row = {column: generator.choice(choices[column]) for column in columns}
        generator.choice(writers).append({**row, "number": number})
        for log in (reader, *writers):
            columns = generator.sample(list(choices), generator.randint(1, 4))
            key = {column: generator.choice(choices[column]) for column in columns}
            texts = {column: "" if value is None else str(value) for column, value in key.items()}
            match = [r for r in read(log.path) if all(r.get(c, "") == text for c, text in texts.items())]
            assert log.find_all(key) == match
            assert log.find(key) == (match[0] if match else None)
            found += bool(match)
    assert 30 < found < 170


def test_only_what_is_new_is_read(log: ResultsLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when others have appended meanwhile, one after the other."""
    came: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            came.append(len(data))
            return data

    monkeypatch.setattr("nas.records.results_log.open", Counted, raising=False)
    log.append_all([{"a": number, "b": "x" * 50} for number in range(100)])
    readers, size = [log, ResultsLog(log.path), ResultsLog(log.path)], log.path.stat().st_size
    for reader in readers:
        assert len(reader.rows()) == 100
    assert came == [size] * 3
    came.clear()
    for number, reader in enumerate(readers * 2):
        reader.append({"a": 100 + number, "b": "y"})
    assert readers[1].find({"a": 105}) and readers[1].find({"a": 7}) and len(readers[0].rows()) == 106
    assert sum(came) <= 3 * 6 * 6 and came  # each of the three has read the six lines of six bytes


@pytest.mark.parametrize("times", [0, 1, 3])
def test_an_edit_of_equal_size_is_seen_behind_appends(log: ResultsLog, times: int) -> None:
    other = ResultsLog(log.path)
    for value in (1, 2, 3):
        log.append({"a": value})
    assert len(other.rows()) == 3
    text, status = log.path.read_bytes(), log.path.stat()
    with open(log.path, "r+b") as file:
        file.write(text.replace(b"2", b"7"))
    os.utime(log.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # the clock of the file system may not have ticked
    for value in range(10, 10 + times):
        log.append({"a": value})
    wanted = ["1", "7", "3", *map(str, range(10, 10 + times))]
    assert [row["a"] for row in other.rows()] == [row["a"] for row in log.rows()] == wanted
    other.append({"a": "last"})
    assert [row["a"] for row in log.rows()] == [*wanted, "last"] and other.find({"a": 2}) is None


@pytest.mark.parametrize("content", [b"", b"4\n3\n", b"0 - 0 0 0\n", b"9" * 500, b"\xff\n"])
def test_whatever_stands_in_the_lock_file_rows_are_read(log: ResultsLog, content: bytes) -> None:
    other = ResultsLog(log.path)
    for value in (1, 2):
        log.append({"a": value})
        assert len(other.rows()) == value
    (log.path.parent / ".results.csv.lock").write_bytes(content)
    log.append({"a": 3})
    (log.path.parent / ".results.csv.lock").unlink()
    other.append({"a": 4})
    assert [row["a"] for row in log.rows()] == [row["a"] for row in other.rows()] == ["1", "2", "3", "4"]


def test_what_a_caller_does_to_a_row_stays_with_the_caller(log: ResultsLog) -> None:
    log.append({"a": 1})
    log.rows()[0]["a"] = "2"
    row = log.find({"a": 1})
    assert row is not None
    row["a"] = "3"
    assert log.rows() == [{"a": "1"}]


def test_an_edit_by_hand_is_seen(log: ResultsLog) -> None:
    for value in (1, 2, 3):
        log.append({"a": value})
    assert log.find({"a": 2}) == {"a": "2"}
    log.path.write_bytes(b"\xef\xbb\xbfa\r\n1\r\n5\r\n3\r\n")  # as a spreadsheet saves it
    assert log.find({"a": 2}) is None and log.find({"a": 5}) == {"a": "5"}
    log.append({"a": 6})
    assert [row["a"] for row in log.rows()] == ["1", "5", "3", "6"]


def test_a_line_torn_at_any_byte_is_cut_and_nothing_else(log: ResultsLog, caplog: pytest.LogCaptureFixture) -> None:
    log.append({"name": "first", "text": 'quo"te, ü', "value": 0.5})
    base, old = log.path.read_bytes(), read(log.path)
    log.append({"name": "tórn", "text": 'a "quoted", c€ll', "value": 0.1234})
    record = log.path.read_bytes()[len(base) :]
    new = read(log.path)[1:]
    for cut in range(len(record)):
        log.path.write_bytes(base)
        log.append({"name": "tórn", "text": 'a "quoted", c€ll', "value": 0.1234})
        os.truncate(log.path, len(base) + cut)  # as a killed process leaves it
        whole = cut == len(record) - 1  # but for its line break, as an editor leaves it
        there = old + new if whole else old
        assert log.rows() == ResultsLog(log.path).rows() == there
        assert log.find({"name": "tórn"}) == (new[0] if whole else None)
        caplog.clear()
        log.append({"name": "n" * cut, "text": None, "value": 1})  # also of the torn line's own length
        kept = base + record if whole else base
        assert log.path.read_bytes() == kept + b"n" * cut + b",,1\n"
        assert len(log.rows()) == len(there) + 1
        assert [f"the last {cut} bytes" in text for text in caplog.messages] == ([] if whole or not cut else [True])
    log.path.write_bytes(base)
    log.append({"name": "torn", "text": "", "value": 12})
    os.truncate(log.path, len(base) + 7)  # "torn,,1"
    log.append({"new": 1})
    assert log.rows() == [old[0] | {"new": ""}, {"name": "", "text": "", "value": "", "new": "1"}]


def test_rows_that_were_appended_together_are_torn_together(log: ResultsLog) -> None:
    log.append({"a": 0, "b": 0})
    base = log.path.read_bytes()
    log.append_all([{"a": number, "b": "x"} for number in range(10, 13)])
    whole = log.path.read_bytes()
    for size in range(len(base), len(whole)):
        if whole[size - 1 : size] != b"\n":
            log.path.write_bytes(whole[:size])
            assert len(ResultsLog(log.path).rows()) == (4 if size == len(whole) - 1 else 1)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", "\r\n\r\n", "\n,\n,,\n", "\n,,"])
@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("lines", [["a,b,c", "1,x,", '2,"y,""z""",0.5'], ['"a","b","c"', '"1","x",""', '"2","y,""z""","0.5"']])
def test_what_editors_and_spreadsheets_leave_at_the_end_loses_no_row(
    log: ResultsLog, lines: list[str], mark: str, breaks: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    log.path.write_bytes((mark + breaks.join(lines) + end).encode())
    wanted = [{"a": "1", "b": "x", "c": ""}, {"a": "2", "b": 'y,"z"', "c": "0.5"}]
    assert log.rows() == wanted and ResultsLog(log.path).find({"a": 2}) == wanted[1]
    ResultsLog(log.path).append({"a": 3})
    log.append({"a": 4})
    assert log.rows() == ResultsLog(log.path).rows() == [*wanted, *({"a": str(a), "b": "", "c": ""} for a in (3, 4))]
    assert not caplog.messages and log.path.read_bytes().endswith(b"3,,\n4,,\n")
    log.append({"d": 5})
    assert [row["a"] for row in read(log.path)] == ["1", "2", "3", "4", ""]


def test_a_last_line_that_goes_on_is_read_again(log: ResultsLog) -> None:
    log.path.write_bytes(b"a,b\n1,2")
    assert log.rows() == [{"a": "1", "b": "2"}]
    log.path.write_bytes(b"a,b\n1,23\n4,5")
    assert [row["b"] for row in log.rows()] == ["23", "5"]


def test_a_reader_without_the_right_to_the_lock_file_reads(log: ResultsLog, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refused(path: str, flags: int, *more: int) -> int:
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more)

    log.append({"a": 1, "b": 2})
    log.path.write_bytes(log.path.read_bytes() + b"3,4")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        assert len(log.rows()) == 2


def test_a_torn_line_and_a_row_of_its_length_are_told_apart(log: ResultsLog) -> None:
    """Size and time of the file are equal: the clock of a file system ticks slower than two appends follow."""
    log.append({"a": 1})
    log.path.write_bytes(log.path.read_bytes() + b"234")
    before = log.path.stat()
    assert len(log.rows()) == 1
    ResultsLog(log.path).append({"a": 56})
    os.utime(log.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert log.path.stat().st_size == before.st_size
    assert [row["a"] for row in log.rows()] == ["1", "56"]


def test_eight_processes_lose_nothing(log: ResultsLog) -> None:
    script = """
log, writer = ResultsLog(Path(sys.argv[1])), int(sys.argv[2])
for number in range(50):
    row = {"writer": writer, "number": number, "text": f'"{writer},{number}' * 50}
    if number > 20 + writer:
        row[f"late{writer % 4}"] = number  # the file is replaced while others wait for the lock
    log.append(row)
"""
    processes = [start(script, log.path, writer) for writer in range(8)]
    for process in processes:
        go(process)
    polls = 0
    while any(process.poll() is None for process in processes):
        for row in log.rows():  # a reader never sees half a file
            assert row["text"] == f'"{row["writer"]},{row["number"]}' * 50
        polls += 1
    assert [process.communicate()[1] for process in processes] == [""] * 8
    rows = read(log.path)
    assert log.rows() == rows
    came = sorted((int(row["writer"]), int(row["number"])) for row in rows)
    assert came == [(writer, number) for writer in range(8) for number in range(50)]
    for row in rows:
        writer, number = int(row["writer"]), int(row["number"])
        assert row["text"] == f'"{writer},{number}' * 50
        late = {f"late{i}": str(number) if i == writer % 4 and number > 20 + writer else "" for i in range(4)}
        assert {column: row[column] for column in late} == late
    assert polls > 1


def test_a_child_that_outlives_an_append_does_not_keep_the_lock(log: ResultsLog) -> None:
    """A forked data loader, say: it inherits the lock's descriptor if it is forked while another thread appends."""
    script = """
import os, signal
log, write = ResultsLog(Path(sys.argv[1])), os.write
def forking(file, data):
    global child
    os.write = write
    child = os.fork()
    if child == 0:
        signal.pause()
    return write(file, data)
os.write = forking
log.append({"a": 1})
def late(*_):
    raise TimeoutError("the child keeps the lock")
signal.signal(signal.SIGALRM, late)
signal.alarm(20)
try:
    log.append({"a": 2})
finally:
    os.kill(child, signal.SIGTERM)
"""
    process = start(script, log.path)
    _, errors = process.communicate("go\n", timeout=60)
    assert errors == "" and process.returncode == 0
    assert [row["a"] for row in log.rows()] == ["1", "2"]


def test_what_a_killed_replacement_left_behind_is_overwritten(log: ResultsLog) -> None:
    log.append({"a": 1})
    (log.path.parent / ".results.csv.tmp").write_text("a,b\n" + "garbage,\n" * 100)
    log.append({"b": 2})
    assert log.path.read_text() == "a,b\n1,\n,2\n"
    assert not (log.path.parent / ".results.csv.tmp").exists()


def test_kill_9_loses_no_row_and_leaves_no_garbage(log: ResultsLog) -> None:
    """The kernel would finish a write before the process dies, so the writes come out short, as they are allowed to."""
    script = """
import os, time
write = os.write
def short(file, data):
    time.sleep(0.001)
    return write(file, data[:5000])
os.write = short
log = ResultsLog(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10**6):
    text = f"{number}," * 9000
    new = {f"column{number // 7}": number}  # every now and then the file is replaced
    log.append({"number": number, "text": text, "text2": text, **new})
    print(number, flush=True)
"""
    generator = random.Random(2)
    acknowledged = torn = 0
    for _ in range(12):
        process = start(script, log.path, len(log.rows()))
        go(process)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(generator.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        output, errors = process.communicate()
        assert errors == "" and process.returncode == -signal.SIGKILL
        acknowledged = max([acknowledged, *(int(number) + 1 for number in (first + output).split())])
        torn += not log.path.read_bytes().endswith(b"\n")
        rows = ResultsLog(log.path).rows()
        assert [row["number"] for row in rows] == [str(number) for number in range(len(rows))]
        assert all(row["text"] == row["text2"] == f"{row['number']}," * 9000 for row in rows)
        assert acknowledged <= len(rows)
    log.append({"number": "end"})
    assert read(log.path) == log.rows() and log.rows()[-1]["number"] == "end"
    assert acknowledged >= 12 and torn


@pytest.mark.parametrize("column", ["text", "new"])
def test_a_full_disk_takes_nothing_from_the_file(log: ResultsLog, column: str) -> None:
    """The limit on a file's size lets a write come out short and fails the next one, as a full disk does."""
    log.append({"text": "x" * 1000})
    before = log.path.read_bytes()
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
log = ResultsLog(Path(sys.argv[1]))
for attempt in range(2):
    try:
        log.append({sys.argv[2]: "y" * 5000})
    except OSError as error:
        print(type(error).__name__, error.errno, Path(sys.argv[1]).stat().st_size)
log.append({"text": "z"})
"""
    output, errors = start(script, log.path, column).communicate("go\n")
    assert errors == "" and output == f"OSError 27 {len(before)}\n" * 2  # 27: file too large
    assert log.path.read_bytes() == before + b"z\n"
    assert {path.name for path in log.path.parent.iterdir()} == {"results.csv", ".results.csv.lock"}
    log.append({column: "y" * 5000})
    assert [row.get(column) for row in read(log.path)][-1] == "y" * 5000


def test_a_first_row_that_does_not_fit_leaves_no_file(log: ResultsLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        log.append({"a": 1})
    assert [path.name for path in log.path.parent.iterdir()] == [".results.csv.lock"]


def test_a_failed_fsync_takes_the_row_back(log: ResultsLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(file: int) -> None:
        raise OSError(5, "Input/output error")

    log.append({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        for row in ({"a": 2}, {"b": 3}):
            with pytest.raises(OSError, match="Input/output error"):
                log.append(row)
            assert log.path.read_text() == "a\n1\n"
    log.append({"a": 4})
    assert log.path.read_text() == "a\n1\n4\n"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a,b\n1,2\n3\n4,5\n", 3),  # a cell too few
        (b"a,b\n1,2\n3,4\n5,6,7\n", 4),  # a cell too many
        (b"a,b\n1,2\n\n3,4\n", 3),  # an empty line
        (b"a,b\n1,\xff\n3,4\n", 2),  # not UTF-8
        ("a,b\n1,2\n".encode("utf-16"), 1),
        (b"a,a\n1,2\n", 1),
        (b"a,\n1,2\n", 1),
        (b"0.5,1\n1,2\n", 1),  # rows without a header
        (b"\n1,2\n", 1),
        (b'a,b\n1,"2\n3,4\n', 2),  # a quote that is not closed
        (b'a,b\n1,"2"x\n', 2),
        (b"not a log", 1),
        (b"a;b\n1;2\n", 1),
        (b"\xef\xbb\xbfa\tb\r\n1\t2\r\n", 1),
    ],
)
def test_a_damaged_file_is_named_with_its_line_and_left_alone(log: ResultsLog, data: bytes, line: int) -> None:
    log.path.write_bytes(data)
    for act in (log.rows, lambda: log.find({"a": 1}), lambda: log.append({"a": 1, "b": 2}), log.rows):
        with pytest.raises(UserError, match=rf"results\.csv, line {line}: .*; mend that line, delete it, or name"):
            act()
    assert log.path.read_bytes() == data


def test_damage_in_what_was_appended_since_is_found(log: ResultsLog) -> None:
    log.append({"a": 1, "b": 2})
    log.append({"a": 3, "b": 4})
    assert len(log.rows()) == 2
    good = log.path.read_bytes()
    log.path.write_bytes(good + b"5,6\n7\n")
    for _ in range(2):
        with pytest.raises(UserError, match="line 5: the header has 2 cells, got 1"):
            log.rows()
    log.path.write_bytes(good + b"5,6\n7,8\n")
    assert [row["a"] for row in log.rows()] == ["1", "3", "5", "7"]


def test_what_could_not_be_read_back_is_not_written(log: ResultsLog) -> None:
    log.append({"a": "x" * csv.field_size_limit()})
    before = log.path.read_bytes()
    with pytest.raises(ValueError, match="characters"):
        log.append({"a": "x" * (csv.field_size_limit() + 1)})
    for column in ("", "1st", "0.5"):
        with pytest.raises(UserError, match="starts with a letter"):
            log.append({column: 1})
    assert log.path.read_bytes() == before and len(log.rows()) == 1
    with pytest.raises(UserError, match="at least one column"):
        ResultsLog(log.path.with_name("new.csv")).append({})


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions do not bind root, which tests may run as."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "go to a regular file, which .*folder is not; name a file"),
        ("socket", "go to a regular file, which .*socket is not; name a file"),
        ("file/results.csv", "must be readable and writable, .*; change the permissions or name another file"),
        ("n" * 300, "File name too long; .* name another file"),
    ],
)
def test_a_path_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    Path("folder").mkdir()
    Path("file").touch()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("socket")
    for act in ("rows", "append"):
        log = ResultsLog(Path(name))
        with pytest.raises(UserError, match=reason):
            log.rows() if act == "rows" else log.append({"a": 1})
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file", "socket"}


def test_a_file_that_may_not_be_read_or_written(log: ResultsLog) -> None:
    log.append({"a": 1})
    log.path.chmod(0)
    with unprivileged():
        with pytest.raises(UserError, match="Permission denied; change the permissions or name another file"):
            log.rows()
        with pytest.raises(UserError, match="Permission denied; change the permissions or name another file"):
            log.append({"a": 1})
    log.path.chmod(0o600)
    assert log.rows() == [{"a": "1"}]


def test_a_folder_is_made(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path / "new" / "deeper" / "results.csv")
    assert log.rows() == [] and not (tmp_path / "new").exists()
    log.append({"a": 1})
    assert log.rows() == [{"a": "1"}]


def test_a_lock_file_with_anything_in_it_is_no_note(tmp_path):
    log = ResultsLog(tmp_path / "a.csv")
    log.append({"name": "x"})
    for note in (b"9" * 5000 + b"\n", b"-1\n", b"1_0\nx", b"\xff" * 99):
        (tmp_path / ".a.csv.lock").write_bytes(note)
        assert ResultsLog(tmp_path / "a.csv").rows() == [{"name": "x"}]
