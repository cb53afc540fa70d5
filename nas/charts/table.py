"""The charts by name, in the order of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nas.charts.chart import Drawable
from nas.charts.coordinates import decouplings
from nas.charts.errors import error_against_blocks, error_against_memory, error_against_seconds
from nas.charts.exits import exits
from nas.charts.learning import exit_errors, stage_losses, validation_errors
from nas.charts.relaxation import alpha, beta, decisions
from nas.charts.results import Given
from nas.charts.seeds import seeds
from nas.charts.trajectories import asked_for, best_so_far
from spaces.notation.errors import unknown

CHARTS: dict[str, Callable[[Given], list[Drawable]]] = {
    "error_blocks": error_against_blocks,
    "error_memory": error_against_memory,
    "error_seconds": error_against_seconds,
    "learning": validation_errors,
    "exit_errors": exit_errors,
    "stage_losses": stage_losses,
    "exits": exits,
    "alpha": alpha,
    "beta": beta,
    "decisions": decisions,
    "search": best_so_far,
    "search_memory": asked_for,
    "decouplings": decouplings,
    "seeds": seeds,
}


def charts_of(given: Given, kinds: Iterable[str] = CHARTS) -> list[Drawable]:
    """The charts of these kinds that the results hold; a kind that there is not is a UserError."""
    found: list[Drawable] = []
    for kind in kinds:
        if kind not in CHARTS:
            raise unknown("chart", kind, CHARTS)
        found += CHARTS[kind](given)
    return found
