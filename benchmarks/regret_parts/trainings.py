"""The trainings of a search that is simulated on a table: what they take, and what the search would answer after each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.regret_parts.truth import Truth
from nas.evaluation.by_fidelity import ByFidelity
from nas.evaluation.tabular import Tabular
from nas.evaluations import Evaluations
from nas.problem import Problem, Score, Strategy, silent
from nas.strategies.random_search import best
from spaces.decoupling import Decoupling


@dataclass(frozen=True)
class Answer:
    """What a search would recommend after so many seconds and trainings; `found` says whether one of the top 1 % was trained."""

    seconds: float
    trainings: float
    decoupling: str
    found: bool
    rho: float | None = None


class Trainings:
    """What one search asks for, of which it is told what the table has. Its seconds are those that trainings take by `truth`, its
    own thinking, and `seconds` of before.

    What is asked for before a score is waited for is trained in one go. A training at a fidelity goes on from the furthest that
    its decoupling was trained; with `own_schedules` it begins anew.
    """

    def __init__(self, truth: Truth, problem: Problem, *, seconds: float = 0.0, own_schedules: bool = False) -> None:
        self.answers: list[Answer] = []  # one after each score, from the first whole training on
        self.scores: dict[Decoupling, Score] = {}  # of whole trainings
        self.shortly: dict[Decoupling, Score] = {}  # the latest of others
        self._truth = truth
        self._looked_up = ByFidelity(partial(Tabular, path=truth.path), problem, own_schedules=own_schedules)
        self._asked: list[tuple[Decoupling, float]] = []  # and not trained yet
        self._trained: dict[Decoupling, set[float]] = {}  # up to these shares of the iterations
        self._seconds, self._trainings, self._began = seconds, 0.0, time.process_time()

    def begin(self, point: Decoupling, fidelity: float) -> Callable[[], Score]:
        """Ask for a training; the answer waits for its score."""
        self._asked.append((point, fidelity))
        return partial(self._score, point, fidelity)

    def told(self, point: Decoupling, fidelity: float, score: Score) -> None:
        """A score has arrived."""
        (self.scores if fidelity == 1 else self.shortly)[point] = score
        if self.scores:
            seconds = self._seconds + time.process_time() - self._began
            found = not self._truth.top.isdisjoint(map(str, self.scores))
            self.answers.append(Answer(seconds, self._trainings, str(best(self.scores)), found))

    def _score(self, point: Decoupling, fidelity: float) -> Score:
        self._train()
        return self._looked_up(point, fidelity)

    def _train(self) -> None:
        """All that is asked for; decouplings that begin and end at the same iterations are trained together."""
        spans: dict[tuple[float, float], list[Decoupling]] = {}
        for point, end in self._asked:
            spans.setdefault((self._start(point, end), end), []).append(point)
            self._trained.setdefault(point, set()).add(end)
        self._asked.clear()
        for (start, end), points in spans.items():
            self._seconds += (end - start) * self._truth.together(points)
            self._trainings += (end - start) * len(points)

    def _start(self, point: Decoupling, end: float) -> float:
        """The share of the iterations that it goes on from on its way to `end`."""
        ends = self._trained.get(point, set())
        if self._looked_up.own_schedules:
            return end if end in ends else 0.0
        return min(end, max(ends, default=0.0))


def trainings_of(
    strategy: Strategy, truth: Truth, problem: Problem, *, together: bool = False, seconds: float = 0.0
) -> Trainings:
    """Those of a whole search: one at a time, or with `together` as many in flight as it asks for."""
    trainings = Trainings(truth, problem, seconds=seconds, own_schedules=getattr(strategy, "own_schedules", False))
    at_once = len(truth.points) if together else 1
    strategy.search(problem, Evaluations(trainings.begin, at_once=at_once, told=trainings.told), silent)
    return trainings
