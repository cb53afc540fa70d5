"""What the program imports before it knows what is asked for, and for what needs no network."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli.program import COMMANDS, names_no_command
from nas.cli.running import FILES, run

ROOT = Path(__file__).resolve().parents[3]
SLOW = {"torch", "numpy", "pandas", "scipy", "matplotlib", "optuna", "sklearn", "torchvision", "PIL", "tqdm", "yaml"}
SCRIPT = f"""
import sys
from nas.cli.main import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
print({SLOW!r} & set(sys.modules), file=sys.stderr)
assert main(["list"]) == 0
print({SLOW!r} & set(sys.modules), file=sys.stderr)
"""


def test_help_imports_nothing_slow_and_list_nothing_that_only_commands_compute_with() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    of_help, of_list = (eval(line, {}) for line in process.stderr.splitlines())
    assert of_help == set() and not of_list & {"pandas", "scipy", "matplotlib", "optuna", "sklearn", "torchvision"}


def test_imports_leave_the_garbage_collector_as_it_was() -> None:
    assert gc.isenabled() and run(["list", "--json"]) == 0 and gc.isenabled()


def test_the_program_help_has_each_command_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and all(f"{name} {text}" in shown for name, text in COMMANDS.items())


@pytest.mark.parametrize(
    ("argv", "own"),
    [
        ([], True),
        (["-h"], True),
        (["serch"], True),
        (["list"], False),
        (["search", "--help"], False),
        (["--json", "list"], False),
    ],
)
def test_which_command_lines_need_no_command(argv: list[str], own: bool) -> None:
    assert names_no_command(argv) is own


def test_each_command_has_its_file() -> None:
    assert all((ROOT / "nas/cli" / f"{FILES.get(name, name)}.py").is_file() for name in COMMANDS)
