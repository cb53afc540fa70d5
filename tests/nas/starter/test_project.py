"""What `init` writes runs as it stands, and nothing that is there is touched."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import run
from nas.starter.project import FILES, write_project
from spaces.notation.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path / "my_project", "decoupled-nas")
    return tmp_path / "my_project"


def test_files_have_what_was_asked_and_no_gaps(project: Path) -> None:
    assert {path.name for path in project.iterdir()} == set(FILES)
    texts = {path.name: path.read_text(encoding="utf-8") for path in project.iterdir()}
    assert not any("$" in text for text in texts.values())
    assert texts["README.md"].startswith("# my_project\n") and "decoupled-nas watch" in texts["README.md"]
    assert set(FILES) - {"README.md", ".gitignore"} == {name for name in FILES if f"`{name}`" in texts["README.md"]}


def test_files_are_clean_by_the_project_s_own_rules(project: Path) -> None:
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--config", str(ROOT / "ruff.toml"), "--no-cache", str(project)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_it_runs_by_the_commands_that_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run.main(["init", "my_project"]) == 0
    *_, change, command = capsys.readouterr().out.splitlines()
    settings = Path("my_project", "search.yaml")
    less = yaml.safe_load(settings.read_text()) | {"epochs": 1, "strategy": "random(trials=1)"}
    settings.write_text(yaml.safe_dump(less))
    line = f"{change.strip()} && {command.strip()}"
    done = subprocess.run(
        ["bash", "-euc", line], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    with open("my_project/results/evaluate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"].partition("(")[0] for row in rows].count("backprop") == 2
    assert {row["status"] for row in rows} == {"ok"}
    assert "found '" in done.stdout and Path("my_project/results/report.html").stat().st_size > 10_000


def test_the_commands_of_its_readme_are_ours(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each parses; the search one runs."""
    lines = [line for line in (project / "README.md").read_text().splitlines() if line.startswith("decoupled-nas")]
    monkeypatch.chdir(project)
    for line in lines:
        _, command, *arguments = shlex.split(line, comments=True)
        if command in ("search", "evaluate"):
            assert run.main([command, *arguments, "--print-config"]) == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("full", "which has notes.txt"),
        ("file", "which is something else"),
        ("link", "which is something else"),
        ("9lives", "begins with a letter"),
        ("a b", "begins with a letter"),
        ("..", "begins with a letter"),
        ("nowhere/project", "make "),
    ],
)
def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "notes.txt").write_text("mine")
    Path("file").write_text("mine")
    Path("link").symlink_to("elsewhere")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=says):
        write_project(Path(name), "decoupled-nas")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_new_repository_of_git_is_empty_enough(tmp_path: Path) -> None:
    (tmp_path / "mine" / ".git").mkdir(parents=True)
    assert len(write_project(tmp_path / "mine", "decoupled-nas")) == len(FILES)


def test_a_taken_folder_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    shutil.copy(ROOT / "LICENSE", tmp_path / "full")
    assert run.main(["init", str(tmp_path / "full")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
