"""Every command and every line of Python in the documentation runs, page by page, in the order in which it stands there.

A page's fenced blocks run in one empty folder: `bash` line by line, `python` in one namespace, and a block with
`title="name"` is written there as a file of that name. `python run.py` and `decoupled-nas` run in this process. A comment
before a block shortens it, puts it into the slow lane, or says why it does not run:

    <!-- test: with --iterations 2 -->      flags for its commands that train or profile; in Python keywords for what has them
    <!-- test: slow; with --iterations 2 -->  only in the slow lane, and shortened
    <!-- test: not run: needs a GPU -->       the reason is part of it

`runs/0123456789abcdef` stands for the run that was saved last.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas
from nas.cli.main import main
from spaces.torchvision_import import torchvision

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHORTENED = {  # the commands that the flags of a marker are for, and those which they have
    "search": {"--iterations", "--batch-size", "--seeds", "--strategy"},
    "evaluate": {"--iterations", "--batch-size", "--seeds", "--methods", "--decoupling", "--lr", "--tune-epochs"},
    "profile": {"--iterations", "--batch-size"},
}
A_RUN = "runs/0123456789abcdef"
LISTS = {"--methods", "--decoupling", "--lr"}
Settings = dict[str, list[str]]
NOT_RUN = 44  # blocks whose marker says why they do not run; raise it together with the block

FENCE = re.compile(
    r'^(?:<!-- test: (?P<marker>.*?) -->\n+)?^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?.*?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and what its marker says."""

    page: Path
    line: int
    language: str
    title: str | None
    text: str
    marker: str

    @property
    def parts(self) -> list[str]:
        return [part.strip() for part in self.marker.split(";")] if self.marker else []

    @property
    def slow(self) -> bool:
        return "slow" in self.parts

    @property
    def not_run(self) -> str | None:
        """Why it does not run, or None."""
        return next((part.removeprefix("not run:").strip() for part in self.parts if part.startswith("not run:")), None)

    @property
    def settings(self) -> Settings:
        """The flags of `with ...`, each with its values."""
        flags: Settings = {}
        for word in (word for part in self.parts if part.startswith("with ") for word in part.split()[1:]):
            if word.startswith("--"):
                flags[word] = values = []
            else:
                values.append(word)
        return flags

    @property
    def runs(self) -> bool:
        return self.title is None and self.language in ("bash", "python") and self.not_run is None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text[: found.start("language")].count("\n") + 1,
            found["language"],
            found["title"],
            found["text"],
            found["marker"] or "",
        )
        for found in FENCE.finditer(text)
    ]


ALL = [block for page in PAGES for block in blocks(page)]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.runs and not block.slow for block in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_page_says_runs(page: Path, folder: Folder) -> None:
    for block in blocks(page):
        if not block.slow:
            folder.take(block)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.runs and block.slow for block in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_takes_longer_runs_too(page: Path, folder: Folder) -> None:
    for block in blocks(page):
        folder.take(block)


def test_markers_are_read_and_blocks_that_do_not_run_are_counted() -> None:
    for block in ALL:
        for part in block.parts:
            assert part == "slow" or re.match(r"with --\w|not run: \w", part), f"{block}: no such marker: {part}"
    assert sum(block.not_run is not None for block in ALL) == NOT_RUN


def test_no_block_is_hidden_from_these_tests() -> None:
    """A fence that is indented or written otherwise would not be found by `FENCE`."""
    for page in PAGES:
        fences = len(re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert fences == 2 * len(blocks(page)), page
        comments = len(re.findall("<!-- test:", page.read_text(encoding="utf-8")))
        assert comments == sum(bool(block.marker) for block in blocks(page)), page


def test_commands_are_in_bash_blocks() -> None:
    for block in ALL:
        if block.language == "text":
            assert not re.search(r"^(?:\$ )?(?:python run\.py|decoupled-nas|pip|make) ", block.text, re.MULTILINE), block


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation, page


def test_links_of_the_readme_lead_to_files() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 100


class Folder:
    """The folder in which a page's blocks run, one after the other."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path, self.patch = path, patch
        self.names: dict[str, Any] = {"__name__": "documentation"}

    def take(self, block: Block) -> None:
        """Writes the block's file, or runs it."""
        if block.title is not None:
            target = self.path / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.runs and block.language == "python":
            if "import torchvision" in block.text:
                torchvision()  # where it needs more than that
            with self.patch.context() as patch:
                for name in SHORTENED if block.settings else ():
                    patch.setattr(nas, name, shortened_call(getattr(nas, name), keywords(name, block.settings)))
                exec(compile("\n" * block.line + self.named(block.text), str(block.page), "exec"), self.names)
        elif block.runs:
            for line in command_lines(block.text):
                try:
                    self.command(self.named(line), block.settings)
                except (AssertionError, subprocess.CalledProcessError) as error:
                    raise AssertionError(f"{block}: {line}") from error

    def command(self, line: str, settings: Settings) -> None:
        words = shlex.split(line, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            self.set(*words.pop(0).split("=", 1))
        match words:
            case ["python", "run.py", *argv] | ["decoupled-nas", *argv]:
                self.run(shortened(argv, settings) if argv[0] in SHORTENED else argv)
            case ["python", "-m", "pytest", *argv]:
                subprocess.run(
                    [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *argv],
                    check=True,
                    env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{self.path}"},
                )
            case ["python", script]:
                runpy.run_path(str(ROOT / script if script.startswith("examples/") else self.path / script), run_name="__main__")
            case ["export", setting]:
                self.set(*setting.split("=", 1))
            case _:
                subprocess.run(["bash", "-euc", line], check=True)

    def run(self, argv: list[str]) -> None:
        """A command of ours, whose output goes into a file after `>`."""
        with ExitStack() as stack:
            if ">" in argv:
                out = stack.enter_context((self.path / argv[argv.index(">") + 1]).open("w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(out))
                argv = argv[: argv.index(">")]
            assert main(argv) in (0, None)

    def set(self, name: str, value: str) -> None:
        """A variable of the shell; of PYTHONPATH the folder is found from now on."""
        self.patch.setenv(name, value)
        if name == "PYTHONPATH":
            self.patch.setattr(sys, "path", [*sys.path, str(self.path)])

    def named(self, text: str) -> str:
        """`text` with the run that was saved last in place of the one of the page."""
        if A_RUN not in text:
            return text
        saved = max((self.path / "runs").glob("*/trained.pt"), key=lambda file: file.stat().st_mtime_ns)
        return text.replace(A_RUN, f"runs/{saved.parent.name}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_DATA_DIR", str(tmp_path / "data"))
    known = set(sys.modules)
    yield Folder(tmp_path, monkeypatch)
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def shortened(argv: list[str], settings: Settings) -> list[str]:
    """`argv` with the marker's settings in place of what it says of the same, and of epochs where iterations are given."""
    own = {name: values for name, values in settings.items() if name in SHORTENED[argv[0]]}
    new = own.keys() | ({"--epochs"} if "--iterations" in own else set())
    kept, replaced = [], False
    for word in argv:
        replaced = word in new or (replaced and not word.startswith("--"))
        if not replaced:
            kept.append(word)
    return kept + [word for name, values in own.items() for word in (name, *values)]


def keywords(command: str, settings: Settings) -> dict[str, Any]:
    """The marker's settings as keywords of the function of that name."""
    read = {name: [yaml.safe_load(value) for value in values] for name, values in settings.items() if name in SHORTENED[command]}
    return {name.removeprefix("--").replace("-", "_"): values if name in LISTS else values[0] for name, values in read.items()}


def shortened_call(function: Callable[..., Any], own: dict[str, Any]) -> Callable[..., Any]:
    """The function with the marker's keywords in place of those that a block gives, and of epochs where iterations are given."""

    def call(*given: Any, **options: Any) -> Any:
        if "iterations" in own:
            options.pop("epochs", None)
        return function(*given, **{**options, **own})

    return call


def command_lines(text: str) -> list[str]:
    """The commands of a block: lines that end in a backslash go on, comments are left out."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.lstrip().startswith("#")]
