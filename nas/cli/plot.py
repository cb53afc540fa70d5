"""`run.py plot`: draws the charts of results."""

from __future__ import annotations

import json
from dataclasses import asdict

from nas.cli.config import Invocation
from nas.commands.plot import plotted


def run_plot(asked: Invocation) -> None:
    """Draw the figures, and say what each is."""
    figures, given = plotted(asked.options)
    if asked.json:
        print(json.dumps([asdict(one) | {"path": str(one.path)} for one in figures]))
        return
    for one in figures:
        print(f"{one.path}  {one.title}")
    for warning in () if asked.quiet else (*given.warnings, *given.refused):
        print(f"note: {warning}")
