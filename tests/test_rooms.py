"""No circles: in each folder, the files and folders that lie in it import one another in one direction only."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path.relative_to(ROOT) for package in ("spaces", "methods", "nas") for path in sorted((ROOT / package).rglob("*.py"))]
MODULES = {".".join(file.with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}


def imports_of(tree: ast.AST) -> Iterator[str]:
    """The modules of ours that a file names in its imports, at whatever depth they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            module = name if name in MODULES else name.rpartition(".")[0]
            if module in MODULES:
                yield module


def arrow(importer: Path, imported: Path) -> tuple[str, str, str]:
    """The innermost folder that both files lie in, and what of it each is or lies in: a file's name or a folder's."""
    pairs = zip(importer.with_suffix("").parts, imported.with_suffix("").parts, strict=False)
    depth = next(depth for depth, (one, other) in enumerate(pairs) if one != other)
    return "/".join(importer.parts[:depth]), importer.with_suffix("").parts[depth], imported.with_suffix("").parts[depth]


@cache
def arrows() -> frozenset[tuple[str, str, str]]:
    """All imports of one file by another, as arrows within a folder."""
    read = {file: ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in FILES}
    pairs = {(file, MODULES[module]) for file, tree in read.items() for module in imports_of(tree)}
    return frozenset(arrow(*pair) for pair in pairs if pair[0] != pair[1])


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The nodes of a circle, the first of them last again; none where there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def within(folder: str, found: Set[tuple[str, str, str]]) -> dict[str, set[str]]:
    """Of what lies in the folder, what else in it each imports."""
    graph: dict[str, set[str]] = {}
    for place, one, other in found:
        if place == folder:
            graph.setdefault(one, set()).add(other)
    return graph


@pytest.mark.parametrize("folder", ["", *sorted({str(file.parent) for file in FILES})])
def test_no_circle_in(folder: str) -> None:
    assert circle(within(folder, arrows())) == []


@pytest.mark.parametrize(
    "text",
    [
        "import spaces.space",
        "from spaces.space import SearchSpace",
        "from spaces import space",
        "def later():\n    from spaces.space import SearchSpace",
    ],
)
def test_every_form_of_import_counts(text: str) -> None:
    assert set(imports_of(ast.parse(text))) == {"spaces.space"}


def test_a_circle_over_three_is_seen() -> None:
    files = [Path("nas/data/images/npz.py"), Path("nas/records/log.py"), Path("nas/problem.py"), Path("nas/data/digest.py")]
    found = {arrow(one, other) for one, other in pairwise(files)}
    assert found == {("nas", "data", "records"), ("nas", "records", "problem"), ("nas", "problem", "data")}
    assert {*circle(within("nas", found))} == {"data", "records", "problem"}
    assert circle(within("nas/data", found | {arrow(files[0], files[3])})) == []


def test_names_of_test_files_are_different() -> None:
    """pytest imports them by their names alone, so that a second file of the same name is not run."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    names = Counter(file.name for file in files)
    assert not {name for name, count in names.items() if count > 1}
