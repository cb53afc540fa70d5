"""The scripts for shells: a real bash completes commands, options and registered names by one."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from pathlib import Path

import pytest

from nas.catalogue.kinds import KINDS
from nas.cli.completion import KIND_OF
from nas.cli.main import main
from nas.cli.parser import COMMANDS
from nas.commands.option import options_of

ASK = """
source "$1"; shift
complete -p decoupled-nas >&2 || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
name=$(complete -p decoupled-nas | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$name" decoupled-nas "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "completion.bash"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["completion", "bash"]) == 0
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


def offered(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of these words."""
    bash = shutil.which("bash")
    assert bash is not None
    process = subprocess.run([bash, "--norc", "-c", ASK, "bash", str(script), *words], capture_output=True, text=True)
    assert process.returncode == 0 and "complete " in process.stderr, process.stderr
    return set(process.stdout.split())


def test_bash_completes_commands_options_and_names(script: Path) -> None:
    assert {"search", "show", "completion"} <= offered(script, "decoupled-nas", "")
    assert offered(script, "decoupled-nas", "evaluate", "--dec") == {"--decoupling"}
    assert offered(script, "decoupled-nas", "search", "--strategy", "s") == {"screening", "sedona", "supernet", "surrogate"}
    assert offered(script, "decoupled-nas", "search", "--space", "vgg1") == {"vgg11", "vgg11b", "vgg13", "vgg16", "vgg19"}
    assert offered(script, "decoupled-nas", "evaluate", "--task", "cifar") == {"cifar10", "cifar100"}
    assert offered(script, "decoupled-nas", "evaluate", "--methods", "dgl", "pred") == {"predsim"}
    assert offered(script, "decoupled-nas", "evaluate", "--config", "dgl_c") == {"dgl_cifar10"}
    assert offered(script, "decoupled-nas", "show", "hyper") == {"hyperband"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert "decoupled-nas" in told and "sedona" in told and "cifar100" in told


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err


def test_every_option_of_components_completes_names() -> None:
    found = {
        name
        for command in COMMANDS.values()
        if command.options
        for name, one in options_of(command.options).items()
        if one.described.components
    }
    assert found - {"adaptive"} <= set(KIND_OF), "adaptive is a rule and a number"
    assert set(KIND_OF.values()) <= set(KINDS)
