"""`watch`: the report's page, served while runs go on."""

from __future__ import annotations

from dataclasses import dataclass

from nas.commands.option import option
from nas.commands.shared_options import PageOptions


@dataclass(frozen=True, kw_only=True)
class WatchOptions(PageOptions):
    """What `watch` takes."""

    results: tuple[str, ...] = option(
        (),
        "folders, CSV files or URLs of results stores, which need not be there yet (default: results)",
        metavar="RESULTS",
        positional=True,
        may_be_empty=True,
    )
    host: str = option(
        "127.0.0.1", "where to listen: this machine alone, unless given; whoever reaches another address reads all", metavar="H"
    )
    port: int = option(0, "0 is any that is free", metavar="N")
    open: bool = option(False, "also open the page in this machine's browser")
