"""The data of the page, all of it, as plain data: numbers are computed here or in `nas.charts`, and the page only shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.charts.results import Given
from nas.charts.table import charts_of
from nas.page.answers import answers_of
from nas.page.asked import headline, what_was_asked
from nas.page.figures import palette, sections_of
from nas.page.pool import Pool
from nas.page.provenance import provenance_of
from nas.page.tables import ABOUT, tables_of
from nas.page.warnings import warnings_of


def page_data(
    given: Given, title: str, *, running: Mapping[str, Any] | None = None, live: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the page shows of results that were read.

    Of a page that is served while runs go on, `running` is what runs now, as `nas.watch.now` tells it, and `live` says where the
    page asks anew: `now` for what runs, `url` for all data, each so many `seconds`.
    """
    rows = [*given.evaluate, *given.search]
    pool = Pool()
    return {
        "title": title,
        "subtitle": headline(rows),
        "live": live,
        "running": running,
        "asked": what_was_asked(rows),
        "answers": answers_of(given, pool),
        "about_table": ABOUT,
        "tables": tables_of(given.tables, pool),
        "refused": list(map(_from_here, given.refused)),
        "sections": sections_of(charts_of(given), pool),
        "palette": palette(),
        "warnings": list(map(_from_here, warnings_of(given))),
        "provenance": provenance_of(rows, [asdict(source) | {"where": _from_here(source.where)} for source in given.sources]),
        "texts": pool.texts,
    }


def _from_here(text: str) -> str:
    """Paths without the current folder: a page that is sent to others need not say where it was made."""
    return text.replace(f"{Path.cwd()}/", "")
