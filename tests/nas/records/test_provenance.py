"""Provenance against made-up repositories, git's absence, and what the packages say of themselves."""

import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
import torch

import nas.records.provenance as module
from nas.records.provenance import device_name, provenance

COLUMNS = ["commit", "dirty", "version", "python", "torch", "torchvision", "optuna", "platform", "time"]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    module._fixed.cache_clear()
    module._processor.cache_clear()
    yield
    module._fixed.cache_clear()
    module._processor.cache_clear()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the source tree, in no repository."""
    monkeypatch.setattr(module, "_SOURCE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    person = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def ask() -> tuple[str, str]:
    module._fixed.cache_clear()
    answer = provenance()
    return answer["commit"], answer["dirty"]


def test_versions_and_time() -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    answer = provenance()
    assert list(answer) == COLUMNS and all(isinstance(value, str) for value in answer.values())
    assert answer["python"] == platform.python_version()
    assert answer["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert answer["optuna"] == optuna.__version__
    assert before <= datetime.fromisoformat(answer["time"]) <= datetime.now(UTC)
    assert re.fullmatch(r"[-\dT:]{19}\+00:00", answer["time"])
    assert socket.gethostname() not in answer.values()


def test_an_absent_package_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise module.PackageNotFoundError(package)

    monkeypatch.setattr(module, "version", absent)
    assert [provenance()[package] for package in ("torch", "torchvision", "optuna")] == ["", "", ""]


def test_commit_and_what_counts_as_dirty(source: Path) -> None:
    git(source, "init")
    assert ask() == ("", "False")  # no commit yet, and nothing to commit
    (source / "code.py").write_text("1")
    assert ask() == ("", "True")
    (source / "results").mkdir()
    (source / "results" / "README.md").write_text("1")
    git(source, "add", ".")
    git(source, "commit", "-m", "first")
    commit, dirty = ask()
    assert dirty == "False" and len(commit) >= 4 and git(source, "rev-parse", "HEAD").startswith(commit)

    (source / "runs" / "one").mkdir(parents=True)
    (source / "runs" / "one" / "last.pt").write_text("1")
    (source / "results" / "new.csv").write_text("1")
    (source / "results" / "README.md").write_text("2")
    assert ask() == (commit, "False")
    (source / "results.py").write_text("1")  # no more than the name's beginning in common
    assert ask() == (commit, "True")
    (source / "results.py").unlink()
    (source / "code.py").write_text("2")
    assert ask() == (commit, "True")


def test_only_the_source_tree_is_asked(
    source: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    for folder in (source, other):
        git(folder, "init")
        (folder / "file").write_text(folder.name)
        git(folder, "add", ".")
        git(folder, "commit", "-m", folder.name)
    (other / "file").write_text("changed")
    monkeypatch.chdir(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as in a hook
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    commit, dirty = ask()
    monkeypatch.undo()
    assert dirty == "False" and git(source, "rev-parse", "HEAD").startswith(commit)


def test_outside_a_repository(source: Path) -> None:
    assert ask() == ("", "")


def test_without_git(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(source, "init")
    monkeypatch.setenv("PATH", str(source))
    assert ask() == ("", "")
    assert list(provenance()) == COLUMNS


def test_a_git_that_hangs_is_left(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (source / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(source), prepend=os.pathsep)
    monkeypatch.setattr(module, "_GIT_SECONDS", 0.1)
    assert ask() == ("", "")  # an answer, even an empty one, would make dirty "False"


def test_what_cannot_change_is_asked_once(source: Path) -> None:
    git(source, "init")
    first = provenance()
    (source / "file").touch()
    assert {**provenance(), "time": ""} == {**first, "time": ""}


def test_the_processor_has_a_name() -> None:
    known = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = device_name(torch.device("cpu"))
    assert name and name == name.strip() and (f": {name}\n" in known or "model name" not in known)


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel\t\t: 85\nmodel name\t: A CPU @ 2.0: GHz\n\nmodel name\t: B\n", "A CPU @ 2.0: GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", "chip"),  # as on ARM
        (None, "chip"),
    ],
)
def test_the_processor_by_cpuinfo_or_by_python(cpuinfo: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(path: Path, encoding: str) -> str:
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(platform, "processor", lambda: "chip")
    assert device_name(torch.device("cpu")) == name


def test_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert device_name(torch.device("cuda", 1)) == "GPU 1"
    assert device_name(torch.device("meta")) == "meta"
