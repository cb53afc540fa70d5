"""What the results files know of a run: its row, those of its exits, and the runs that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.records.column import Role
from nas.records.columns import names
from nas.records.log import Log
from nas.records.partial import exactly
from nas.records.results import Results
from nas.records.status import OK
from nas.runs.trained_run import TrainedRun

Row = Mapping[str, str]
_OF_ONE_SEED = ("seed", "run", "weights_digest", "extends_digest", "search", "space", "strategy")


@dataclass(frozen=True)
class KnownRows:
    """row    the run's, empty where no file has it
    exit   that of the exit with logits as they are, empty where there is none
    seeds  the rows of the same settings, one a seed, the run's own among them
    """

    row: Row
    exit: Row
    seeds: tuple[Row, ...]


def known_rows(run: TrainedRun, depth: int, results: Results) -> KnownRows:
    """Of all results; those of `evaluate` before those of `search`, which saw no test split."""
    for name in ("evaluate.csv", "search.csv"):
        for called, log in results.below(name).items():
            if row := log.find(exactly({"run": run.name, "weights_digest": run.digest})):
                exits = results.log(str(Path(called).with_name("exits.csv")))
                return KnownRows(row, _exit(row, depth, exits), _seeds(row, log))
    return KnownRows({}, {}, ())


def _exit(row: Row, depth: int, exits: Log) -> Row:
    found = exits.find_all({"weights_digest": row["weights_digest"], "depth": depth})
    return next((exit for exit in found if exit.get("calibrated") != "True"), {})


def _seeds(row: Row, log: Log) -> tuple[Row, ...]:
    roles = (Role.IDENTITY, Role.SETTING, Role.RECIPE)
    same = [name for name in names(lambda column: column.role in roles) if name in row and name not in _OF_ONE_SEED]
    found = log.find_all(exactly({name: row[name] or None for name in same}))
    return tuple({other["seed"]: other for other in found if other.get("status") == OK}.values())
