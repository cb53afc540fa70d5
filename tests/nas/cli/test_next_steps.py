"""Commands to type next: in lines of 80 columns, the same to a shell, whatever is in them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from nas.cli.next_steps import command_lines, interpreter, leave_report
from nas.records.results import Results

LONG = "2:conv(depth=2) 4:conv(depth=1) 6:linear 8:conv(depth=4) 10:linear 12:conv(depth=3) 14:linear"
COMMANDS = [
    ["python", "run.py", "watch"],
    ["python", "run.py", "evaluate", "--space", "small", "--decoupling", LONG, "even(8)", "--methods", "dgl", "--seeds", "3"],
    ["decoupled-nas", "evaluate", *(word for number in range(12) for word in (f"--option-{number}", 'it\'s; $HOME `x` \\ "y"'))],
    ["decoupled-nas", "watch", "a folder/ü", "postgresql://me@host/db?a=b&c=d", ""],
    ["x", "--methods", *(f"method_{number}" for number in range(20))],
]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_shell_reads_the_same_words(words: list[str]) -> None:
    lines = command_lines(words).splitlines()
    read = shlex.split(command_lines(words).replace("\\\n", ""))
    assert read[1:] == words[1:] and read[0] in (words[0], interpreter())
    assert all(line.endswith(" \\") and not line.endswith("  \\") for line in lines[:-1])
    assert all(len(line) <= 80 or len(shlex.split(line.removesuffix("\\"))) <= 2 for line in lines)


def test_a_flag_stays_with_its_values() -> None:
    lines = command_lines(COMMANDS[1]).splitlines()
    assert lines[0].endswith("python run.py evaluate --space small \\") and lines[-1].endswith("--methods dgl --seeds 3")
    assert lines[1].startswith("    --decoupling '2:conv(depth=2) 4:")


def test_the_interpreter_is_the_one_that_runs_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / ".venv" / "bin"
    own.mkdir(parents=True)
    (own / "python").touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert interpreter() == ".venv/bin/python" and interpreter(Path("project")) == "../.venv/bin/python"
    assert command_lines(["python", "run.py", "watch"]) == ".venv/bin/python run.py watch"
    monkeypatch.setenv("PATH", str(own))
    assert interpreter() == "python"


def test_a_page_that_cannot_be_written_is_told_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave_report(Results(tmp_path / "nowhere")) is None
    assert "there is no report" in capsys.readouterr().err and not list(tmp_path.iterdir())
