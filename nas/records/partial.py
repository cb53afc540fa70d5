"""Partial trainings: rows of runs that were stopped before their end, which say how far they were trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ITERATIONS_TRAINED = "iterations_trained"  # the column, in a run's key only where it is partial


def is_partial(row: Mapping[str, object]) -> bool:
    """Whether a row, or a key, is of a run that was stopped before its end."""
    return bool(row.get(ITERATIONS_TRAINED) or row.get("fidelity"))  # a trial's row has the second


def whole_rows(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Those of whole runs, which alone are compared and tabled."""
    return [row for row in rows if not is_partial(row)]


def exactly(key: Mapping[str, object]) -> dict[str, object]:
    """The key as rows are looked up by it: that of a whole run finds no partial ones."""
    return {ITERATIONS_TRAINED: None, **key}
