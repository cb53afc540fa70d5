"""`run.py export-results`: copies rows from one results store to another."""

from __future__ import annotations

import json
from dataclasses import asdict

from nas.cli.config import Invocation
from nas.commands.export_results import copied


def run_export_results(asked: Invocation) -> None:
    """Copy the rows, and say how many there were."""
    found = copied(asked.options)
    if asked.json:
        print(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        print(f"{one.new} new of {one.rows} rows in {one.where}")
