"""`run.py report`: writes the page of results."""

from __future__ import annotations

import json
from pathlib import Path

from nas.cli.config import Invocation
from nas.cli.output import check_out, write_file
from nas.commands.report import OUT, reported
from spaces.notation.errors import UserError


def run_report(asked: Invocation) -> None:
    """Write the page, and say what is on it."""
    out = asked.out or OUT
    if out.resolve() in [Path(place).resolve() for place in asked.options.results]:
        raise UserError(f"--out would replace {out}, which is read; name another file")
    check_out(out)
    text, given = reported(asked.options)
    write_file(out, text)
    read = {source.where: source.rows for source in given.sources}
    if asked.json:
        print(json.dumps({"out": str(out), "rows": read, "refused": given.refused, "warnings": given.warnings}))
        return
    files = "file" if len(read) == 1 else "files"
    number = sum(read.values())
    print(f"{out} shows {number:,} row{'' if number == 1 else 's'} of {len(read)} {files}; open it in a browser")
    for warning in (*given.warnings, *given.refused):
        print(f"note: {warning}")
