"""Growing: the stages of a network begin one after the other, each with a window of iterations in which it trains."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from spaces.notation.errors import UserError
from spaces.notation.table import Table


class Window(NamedTuple):
    """The iterations start..end - 1, in which a stage trains; its learning-rate schedule runs over them.

    Before them neither it nor any stage after it runs; after them it makes its carry and learns no more.
    """

    start: int
    end: int


def frozen(num_stages: int, iterations: int, *, starts: tuple[float, ...] | None = None) -> tuple[Window, ...]:
    """Each stage trains alone, until the next begins. `starts` are shares of training, k / K where none are given."""
    begins = _iterations(num_stages, iterations, starts)
    windows = tuple(map(Window, begins, (*begins[1:], iterations)))
    if empty := [k for k, window in enumerate(windows) if window.start >= window.end]:
        raise UserError(
            f"a stage that trains alone needs an iteration of its own, but stage {empty[0]} of {num_stages} has none "
            f"of {iterations}; give more iterations, or starts that lie apart"
        )
    return windows


def training(num_stages: int, iterations: int, *, starts: tuple[float, ...] | None = None) -> tuple[Window, ...]:
    """Each stage trains from its start to the end. `starts` are shares of training, k / K where none are given."""
    return tuple(Window(start, iterations) for start in _iterations(num_stages, iterations, starts))


GROWTHS: Table[tuple[Window, ...]] = Table("growth", {"frozen": frozen, "training": training}, makes=tuple)


def stage_windows(grow: str | None, num_stages: int, iterations: int, *, trained: int = 0) -> tuple[Window, ...]:
    """The window of each stage: all of training where `grow` is None. The first `trained` stages learn no more, (0, 0).

    Both ways of growing are in the code of the Associated Learning thesis (Peng 2023): texts froze what was trained, images
    trained on. Deviation: there a stage began with the learning rate that the last had come down to, and the best weights
    after each were those of the test split. What a stage reads of a later one (MAN) is untrained until that begins.
    A `grow` for a single stage is a UserError.
    """
    growing = num_stages - trained
    if grow is not None and growing < 2:
        raise UserError(
            f"stages begin one after the other where there are several, got --grow {grow} for one that "
            "is to be trained; leave it out, cut more, or take a method that trains its blocks apart"
        )
    windows = (Window(0, iterations),) * growing if grow is None else GROWTHS.build(grow, growing, iterations)
    return (Window(0, 0),) * trained + windows


def check_grows(grow: str, num_stages: int, iterations: int, *, trained: int = 0) -> None:
    """Refuse a `grow` under which all stages begin at once, as they do without."""
    grown, joint = (stage_windows(how, num_stages, iterations, trained=trained) for how in (grow, None))
    if grown == joint:
        raise UserError(
            f"--grow {grow} lets all {num_stages} stages train all the time, as they do without it; leave it out, or "
            "give later starts"
        )


def _iterations(num_stages: int, iterations: int, starts: tuple[float, ...] | None) -> list[int]:
    """The iteration at which each stage begins."""
    if starts is None:
        starts = tuple(k / num_stages for k in range(num_stages))
    rises = all(earlier <= later for earlier, later in pairwise((*starts, 1.0)))
    if len(starts) != num_stages or starts[0] != 0 or not rises or starts[-1] >= 1:
        raise UserError(
            f"starts are shares of training in [0, 1), one a stage, the first 0 and none before the last, got "
            f"{list(starts)} for {num_stages} stages; for all at once leave --grow out"
        )
    begins = [round(share * iterations) for share in starts]
    if begins[-1] >= iterations:
        raise UserError(f"the last stage would begin after the last of {iterations} iterations; give more, or an earlier start")
    return begins
