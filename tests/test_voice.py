"""Errors speak in one voice: the rule, `got` what came, and what to do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
OTHER_VOICE = re.compile(r"\bbut [^;]* came\b|\bcame (twice|too)\b")


def text_of(node: ast.AST) -> str:
    """The literal parts of a string, {} in place of what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(text_of(part) if isinstance(part, ast.Constant) else "{}" for part in getattr(node, "values", []))


def test_no_error_says_that_something_came() -> None:
    errors = [
        (str(path.relative_to(ROOT)), call.lineno, text_of(call.args[0]))
        for package in ("spaces", "methods", "nas")
        for path in sorted((ROOT / package).rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "UserError" and call.args
    ]
    assert len(errors) > 200 and any(", got {}" in text for _, _, text in errors)
    assert [error for error in errors if OTHER_VOICE.search(error[2])] == []
