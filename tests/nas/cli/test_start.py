"""What the program imports before it knows what is asked for, and for what needs no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli.program import COMMANDS, names_no_command
from nas.cli.running import FILES, run

ROOT = Path(__file__).resolve().parents[3]
SLOW = {"torch", "numpy", "pandas", "scipy", "matplotlib", "optuna", "sklearn", "PIL", "torchvision", "tqdm", "yaml"}


def imported(script: str) -> set[str]:
    """Of what is slow to import, what a Python has imported that has run the script."""
    told = f"import sys\n{script}\nprint({SLOW!r} & set(sys.modules), file=sys.stderr)"
    process = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return eval(process.stderr, {})


def test_the_help_of_the_program_imports_nothing_slow() -> None:
    script = "from nas.cli.main import main\ntry: main(['--help'])\nexcept SystemExit as end: assert end.code == 0"
    assert imported(script) == set()


def test_the_program_help_has_each_command_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and all(f"{name} {text}" in shown for name, text in COMMANDS.items())


@pytest.mark.parametrize(("argv", "own"), [([], True), (["-h"], True), (["serch"], True), (["list"], False),
                                           (["search", "--help"], False), (["--json", "list"], False)])
def test_which_command_lines_need_no_command(argv: list[str], own: bool) -> None:
    assert names_no_command(argv) is own


def test_each_command_has_its_file() -> None:
    assert all((ROOT / "nas/cli" / f"{FILES.get(name, name)}.py").is_file() for name in COMMANDS)
