"""Searches that ask for scores, simulated on a table: the answers of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.regret_parts.trainings import Answer, trainings_of
from benchmarks.regret_parts.truth import Truth
from nas.evaluations import in_order
from nas.problem import Evaluate, Found, Problem, Report
from nas.strategies import STRATEGIES
from nas.strategies.random_search import best
from nas.strategies.surrogate.strategy import Surrogate
from spaces.decoupling import Decoupling


def simulated(truth: Truth, spec: str, problem: Problem, *, together: bool = False) -> list[Answer]:
    """A strategy as the command line names it; the last answer of a surrogate has the rho of what it believes."""
    strategy = STRATEGIES.build(spec)
    trainings = trainings_of(strategy, truth, problem, together=together)
    answers = trainings.answers
    if isinstance(strategy, Surrogate):
        answers[-1] = replace(answers[-1], rho=truth.within(strategy.believed(problem, trainings.scores, trainings.shortly)))
    return answers


def random_together(truth: Truth, trials: int, problem: Problem) -> list[Answer]:
    """Searches of 1, 2, 4, ... trainings, each of which trains all that it draws in one go."""
    most = min(trials, len(truth.points))
    numbers = [*(2**k for k in range(most.bit_length()) if 2**k < most), most]
    return [simulated(truth, f"random(trials={number})", problem, together=True)[-1] for number in numbers]


def exhaustive(truth: Truth, problem: Problem) -> list[Answer]:
    """One training of every decoupling, in one go."""
    trainings = trainings_of(InOrder(truth.points), truth, problem, together=True)
    rho = truth.within({point: score.error for point, score in trainings.scores.items()})
    return [replace(trainings.answers[-1], rho=rho)]


def trained_in_order(
    truth: Truth, problem: Problem, points: Sequence[Decoupling], seconds: float, rho: float | None
) -> list[Answer]:
    """Whole trainings of what something recommends that took so many seconds and ranks with this rho, one after the other."""
    return [replace(answer, rho=rho) for answer in trainings_of(InOrder(points), truth, problem, seconds=seconds).answers]


class InOrder:
    """A strategy that asks for these decouplings."""

    def __init__(self, points: Sequence[Decoupling]) -> None:
        self.points = points

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """The lowest error of them."""
        return Found(best(dict(in_order(evaluate, self.points))))
