"""`runs`: what lies below the folder of runs, listed, or removed by choice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.commands.option import option, required
from nas.records.results import Results


@dataclass(frozen=True, kw_only=True)
class RunsOptions:
    """What `runs` takes."""

    action: str = required("list them, or remove those that all choices hold for", positional=True, choices=("list", "clean"))
    runs: Path = option(Path("runs"), "where they lie", metavar="DIR")
    results: Results = option(Results("results"), "where rows lie, as of evaluate", metavar="WHERE")
    unfinished: bool = option(False, "clean: what was interrupted; the same command would begin anew")
    without_row: bool = option(False, "clean: what no row of --results names")
    older_than: float | None = option(None, "clean: what was last written so many days ago or more", metavar="DAYS")
    all: bool = option(False, "clean: every run")
    dry_run: bool = option(False, "clean: say what would go, and remove nothing")
