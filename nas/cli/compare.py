"""`run.py compare`: shows the fair table of rows."""

from __future__ import annotations

import argparse
import json

from nas.cli.output import check_out, write_file
from nas.report.comparable import read_rows
from nas.report.fair_table import as_csv, fair_table, plain, written
from spaces.notation.errors import UserError


def run_compare(options: argparse.Namespace) -> None:
    """Show the fair table of the rows that are asked for."""
    if options.out and options.out.resolve() in [path.resolve() for path in options.csv]:
        raise UserError(f"--out would replace {options.out}, which is read; name another file")
    check_out(options.out)
    fair = fair_table(read_rows(options.csv, options.where), options.figures)
    if options.out:
        write_file(options.out, as_csv(fair))
    print(json.dumps(plain(fair)) if options.json else written(fair))
