"""What the program calls itself, as it was called."""

from __future__ import annotations

import sys

import pytest

from nas.cli.main import main
from nas.cli.output import command_line


@pytest.mark.parametrize(
    "called, name, again",
    [("/somewhere/bin/decoupled-nas", "decoupled-nas", "decoupled-nas list"), ("../run.py", "run.py", "python run.py list")],
)
def test_help_errors_and_the_command_of_a_row_have_its_name(
    called: str, name: str, again: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [called, "list"])
    assert command_line() == again
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: {name} ")
    assert main(["serch"]) == 2
    assert capsys.readouterr().err.startswith(f"{name}: ")
