"""`run.py compare`: shows the fair table of rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nas.cli.config import Invocation
from nas.cli.output import check_out, write_file
from nas.cli.terminal import columns_of
from nas.commands.compare import compared
from nas.report.fair_table import as_csv, plain, written
from nas.report.paper_table import as_latex, as_markdown
from spaces.notation.errors import UserError

FORMS = {"latex": as_latex, "markdown": as_markdown}


def run_compare(asked: Invocation) -> None:
    """Show the fair table of the rows that are asked for."""
    if asked.out and asked.out.resolve() in [Path(path).resolve() for path in asked.options.csv]:
        raise UserError(f"--out would replace {asked.out}, which is read; name another file")
    check_out(asked.out)
    fair = compared(asked.options)
    if asked.out:
        write_file(asked.out, as_csv(fair))
    if asked.json:
        print(json.dumps(plain(fair)))
    elif asked.form:
        print(FORMS[asked.form](fair))
    else:
        print(written(fair, columns_of(sys.stdout)))
