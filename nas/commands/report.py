"""`report`: one page that shows all of results, from their rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.charts.results import Given, read_given
from nas.commands.option import keywords_of, required
from nas.commands.python_call import python_call
from nas.commands.shared_options import PageOptions
from nas.page.data import page_data
from nas.page.page import page
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError

OUT = Path("report.html")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(PageOptions):
    """What `report` takes."""

    results: tuple[str, ...] = required(
        "folders of results, CSV files, or URLs of results stores", metavar="RESULTS", positional=True
    )


def reported(options: ReportOptions) -> tuple[str, Given]:
    """The page as HTML, and the rows that it is made of; a UserError where there are none."""
    given = read_given(options.results, options.where)
    if given.is_empty():
        why = given.warnings[0] if given.warnings else "nothing is there"
        raise UserError(f"a report is of rows that search or evaluate wrote, got {_named(options.results)}: {why}; name others")
    return page(page_data(given, title_of(options.results, options.title))), given


def title_of(places: Sequence[str], title: str | None = None) -> str:
    """The title that was asked for, or one that names the results; passwords of stores are left out."""
    return title or f"Report of {_named(places)}"


def _named(places: Sequence[str]) -> str:
    return ", ".join(redacted(str(place)) for place in places)


@keywords_of(ReportOptions, "results")
def write_report(*given: Any, out: str | Path = OUT, **options: Any) -> Path:
    """Write the report of results to the file `out`, as `run.py report` does, and say where it is: one page of HTML with all that
    it needs in it, for any browser.

        nas.write_report("results", out="report.html", where=["method=dgl", "method=predsim"])
    """
    with python_call(ReportOptions, "write_report", ("results",), given, options) as (read, _):
        text, _ = reported(read)
        path = Path(out)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"out cannot be written: {error}; name a file in a folder that is there") from None
        return path
