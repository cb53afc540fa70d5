"""`run.py list`: shows what there is."""

from __future__ import annotations

import json
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from methods.sides import SIDES
from methods.table import METHODS
from nas.cli.config import Invocation
from nas.evaluation.evaluators import EVALUATORS
from nas.evaluation.figures import FIGURES
from nas.executors import EXECUTORS
from nas.exits.confidence import CONFIDENCES
from nas.exports.formats import FORMATS
from nas.published.experiments import experiments, what_it_is
from nas.report.table import table
from nas.strategies import STRATEGIES
from nas.tasks import TASKS
from spaces.backbones import BACKBONES
from spaces.heads import HEADS
from spaces.named import named_spaces
from spaces.rules import RULES


def run_list(asked: Invocation) -> None:
    """Show what there is."""
    tables: dict[str, dict[str, str]] = {"spaces": named_spaces()}
    for title, entries in (
        ("backbones", BACKBONES),
        ("heads", HEADS),
        ("rules", RULES),
        ("methods", METHODS),
        ("side inputs", SIDES),
        ("strategies", STRATEGIES),
        ("evaluators", EVALUATORS),
        ("executors", EXECUTORS),
        ("tasks", TASKS),
        ("confidence rules", CONFIDENCES),
        ("figures", FIGURES),
        ("export formats", FORMATS),
    ):
        tables[title] = {str(_shown(entries, name)): entries.describe(name) for name in entries}
    tables["experiments"] = {name: what_it_is(path) for name, path in experiments().items()}
    if asked.json:
        print(json.dumps(tables))
        return
    for title, rows in tables.items():
        lines = [
            pair
            for name, text in rows.items()
            for pair in zip_longest(wrap(name, 76, subsequent_indent="    "), [text], fillvalue="")
        ]
        print(f"{title}\n{table(['name', 'what'], lines)}\n")


def _shown(entries: Any, name: str) -> str:
    """A name with its settings and their defaults."""
    settings = [
        key if parameter.default is parameter.empty else f"{key}={parameter.default}"
        for key, parameter in entries.parameters(name).items()
    ]
    return f"{name}({', '.join(settings)})" if settings else name
