"""The columns of results files: what their cells hold, and which of them no row of a kind leaves empty."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from spaces.decoupling import Decoupling
from spaces.notation.component import Component

OK, DIVERGED, OUT_OF_MEMORY = "ok", "diverged", "out of memory"  # a status, or how it begins
SHOWN = 60  # characters of a cell in a message


@dataclass(frozen=True)
class Kind:
    """What a cell holds: the rule in words, and `read`, which gives the cell as `ResultsLog` writes it, however a spreadsheet
    did (`TRUE`, `1E-04`, `3.0`), and raises ValueError where the rule does not hold."""

    rule: str
    read: Callable[[str], str]


def _number(rule: str, holds: Callable[[float], bool]) -> Kind:
    def read(cell: str) -> str:
        if not cell.isascii() or "_" in cell or not holds(value := float(cell)):  # Python reads more than we write
            raise ValueError
        return repr(value)

    return Kind(rule, read)


def _whole(cell: str) -> str:
    if not re.fullmatch(r"(?a:\d+(\.0*)?|\d+(\.\d+)?[eE]\+?\d{1,2})", cell) or not float(cell).is_integer():
        raise ValueError
    return str(int(cell) if cell.isdigit() else int(float(cell)))


def _flag(cell: str) -> str:
    if cell.title() not in ("True", "False"):
        raise ValueError
    return cell.title()


def _parsed(parse: Callable[[str], object]) -> Callable[[str], str]:
    def read(cell: str) -> str:
        parse(cell)
        return cell

    return read


def _parse_status(cell: str) -> None:
    if cell != OK and not cell.startswith((DIVERGED, OUT_OF_MEMORY)):
        raise ValueError


def _parse_shares(cell: str) -> None:
    if not cell.strip() or not all(0 <= float(share) <= 1 for share in cell.split()):
        raise ValueError


def _parse_digest(cell: str) -> None:
    if not re.fullmatch("[0-9a-f]{16}", cell):
        raise ValueError


def _parse_folder(cell: str) -> None:
    if "/" in cell or "\0" in cell or cell in (".", ".."):  # what a run's row names is written and removed
        raise ValueError


SHARE = _number("a share in 0..1", lambda value: 0 <= value <= 1)
AMOUNT = _number("a number from 0 on", lambda value: 0 <= value < math.inf)
FINITE = _number("a number", math.isfinite)
FLOAT = _number("a number", lambda value: True)  # a loss on a split that decides nothing, or a threshold that nothing reaches
COUNT = Kind("a whole number from 0 on", _whole)
FLAG = Kind("True or False", _flag)
COMPONENT = Kind("name or name(setting=value, ...)", _parsed(Component.parse))
KINDS = {
    COMPONENT: "method backbone task optimizer schedule strategy",
    Kind("a decoupling, such as 3:linear or uncut", _parsed(Decoupling.parse)): "decoupling",
    Kind("ok, or begins with diverged or out of memory", _parsed(_parse_status)): "status",
    Kind("shares in 0..1 with blanks between them", _parsed(_parse_shares)): "test_shares",
    Kind("16 hexadecimal digits", _parsed(_parse_digest)): "data_digest test_digest weights_digest extends_digest",
    Kind("the name of a folder, without a path", _parsed(_parse_folder)): "run",
    SHARE: "validation_error test_error ensemble_test_error validation_ece test_ece scale words_covered tokens_covered cut_share "
           "head_share",
    AMOUNT: "lr weight_decay epochs step_seconds seconds test_seconds temperature pipeline_speedup_bound validation_macs "
            "test_macs",
    FINITE: "validation_loss train_loss outer_loss penalty cut_margin head_margin",
    FLOAT: "test_loss threshold",
    COUNT: "seed iterations batch_size ensemble num_blocks params head_params macs head_macs path_macs peak_activation_bytes "
           "best_iteration threads depth units timed_samples num_words gap meta_step "
           "number",
    FLAG: "checkpoint_units deterministic exits calibrated chosen dirty known",
}
COLUMNS = {name: kind for kind, names in KINDS.items() for name in names.split()}  # all others are text

COUNTS = ("num_blocks", "params", "head_params", "macs", "head_macs", "peak_activation_bytes")
PROVENANCE = ("commit", "dirty", "python", "torch", "torchvision", "optuna", "platform", "time", "device", "threads", "command")
# What is found out of an exit or a point of a curve, and where on it: all other columns say of which run it is.
EXIT_SCORES = ("depth", "num_blocks", "units", "params", "macs", "path_macs", "seconds", "timed_samples", "temperature",
               *(f"{part}_{what}" for part in ("validation", "test") for what in ("error", "loss", "ece")),
               "rule", "threshold", "validation_macs", "test_macs", "test_seconds", "test_shares", "chosen")
POINT = ("method", "backbone", "decoupling", "task", "seed")  # what every run is of


@dataclass(frozen=True)
class RowKind:
    """The rows of one kind of file: the columns that it has, with a cell in every row, and those that `also` asks of a row."""

    name: str
    needed: tuple[str, ...]
    also: Callable[[Mapping[str, str]], tuple[str, ...]] = lambda row: ()

    def lacks(self, header: list[str]) -> list[str]:
        """The columns that the header has not."""
        return [column for column in self.needed if column not in header]

    def read(self, row: Mapping[str, str]) -> dict[str, str]:
        """The row as it was written; ValueError, with column and rule, where a cell does not hold."""
        for columns, which in ((self.needed, ""), (self.also(row), " with status ok")):
            if empty := [column for column in columns if not row.get(column)]:
                raise ValueError(f"column {empty[0]} is empty, but every {self.name}{which} has it")
        return {column: written(column, cell) for column, cell in row.items()}


@lru_cache(maxsize=2**16)
def written(column: str, cell: str) -> str:
    """The cell as `ResultsLog` writes it; ValueError, with column and rule, where it is none of that column."""
    if not cell or column not in COLUMNS:
        return cell
    try:
        return COLUMNS[column].read(cell)
    except (ValueError, OverflowError):
        shown = cell if len(cell) <= SHOWN else cell[:SHOWN] + "..."
        raise ValueError(f"column {column} holds {COLUMNS[column].rule}, but {shown!r} came") from None


def _of_status(row: Mapping[str, str]) -> tuple[str, ...]:
    """What a run that ended well has; an error on the test split only where that was read, which no search does, and names of
    what came out unless an older version wrote it."""
    if row["status"] != OK:
        return ()
    tested = row.get("ensemble")
    voted = tested and tested != "1"
    return ("validation_loss", "pipeline_speedup_bound", *(("test_error",) if tested else ()),
            *(("ensemble_test_error",) if voted else ()), *(("run", "weights_digest") if row.get("data_digest") else ()))


COMPARED = RowKind("run", (*POINT, "status", *COUNTS))
RUNS = RowKind("run", (*COMPARED.needed, "validation_error"), _of_status)
EXITS = RowKind("exit", (*POINT, "num_blocks", "depth", "params", "macs", "validation_error", "test_error"))
CURVES = RowKind("point of a curve", (*POINT, "num_blocks", "rule", "threshold", "validation_error", "test_error", "test_macs",
                                      "test_shares", "chosen"))
TRIALS = RowKind("trial", ("strategy", "search", "seed", "number", "decoupling", "status", "validation_error", "seconds"))
DECISIONS = RowKind("decision", ("run", "seed", "num_blocks", "gap", "head", "cut_share"))
ALPHA_BETA = RowKind("gap at a meta step", ("run", "seed", "meta_step", "gap", "outer_loss"))
