"""torch <- spaces <- methods <- nas <- run.py: no file imports against the arrows, and some imports have one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ["spaces", "methods", "nas", "run", "benchmarks", "tests"]  # each may import those before it
SOURCES = sorted([ROOT / "run.py", *(path for layer in LAYERS[:3] for path in (ROOT / layer).rglob("*.py"))])
ALONE = "nas/exports/answer.py"  # lies beside exported networks, and is a program by itself
TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def imported(tree: ast.AST) -> set[str]:
    """The top-level packages that a file imports, wherever it does so."""
    whole = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in whole | parts}


@pytest.mark.parametrize("name", TREES)
def test_the_arrows(name):
    layer = LAYERS.index(name.partition("/")[0].removesuffix(".py"))
    assert not imported(TREES[name]) & set(LAYERS[layer + 1 :])
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(TREES[name])), "imports are absolute"


def test_some_imports_have_one_place():
    for package, places in [("optuna", 4), ("higher", 1)]:
        assert len([name for name, tree in TREES.items() if package in imported(tree)]) == places, package
    of_figures = [name for name, tree in TREES.items() if "matplotlib" in imported(tree)]
    assert of_figures and all(name.startswith("nas/charts/drawn/") for name in of_figures)
    assert [name for name, tree in TREES.items() if "argparse" in imported(tree) and not name.startswith("nas/cli/")] == []


def test_only_the_command_line_prints():
    printing = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if getattr(node, "id", None) == "print" or getattr(node, "attr", None) == "argv"
    }
    assert ALONE in printing and all(name.startswith("nas/cli/") for name in printing - {ALONE})
    assert not imported(TREES[ALONE]) & set(LAYERS)
