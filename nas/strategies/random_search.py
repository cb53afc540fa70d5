"""Random search, and its exhaustive limit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from nas.evaluations import in_order
from nas.objectives import measured, pareto_front
from nas.problem import Evaluate, Found, Problem, Report, Score
from nas.strategies.first import first_decouplings
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class RandomSearch:
    """Evaluates `trials` different decouplings, each uniform over those not yet drawn.

    first  rules of decouplings that come before, part of the budget
    """

    def __init__(self, *, trials: int = 10, first: Sequence[str] | None = None) -> None:
        self.trials, self.first = checked_trials(trials), first

    def trainings(self, problem: Problem) -> int:
        """How many decouplings it asks for at most."""
        return self.trials

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated."""
        wanted = min(self.trials, problem.space.size)
        first = first_decouplings(self.first, problem, self.trials)
        scores: dict[Decoupling, Score] = {}
        report("trials", 0, wanted)
        for decoupling, score in in_order(evaluate, islice(drawn(problem, first), wanted)):
            scores[decoupling] = score
            report("trials", len(scores), wanted, best_error=min(score.error for score in scores.values()))
        return recommended(scores, problem.objectives)


class Exhaustive:
    """Evaluates every decoupling of the space; refused above `limit` of them.

    limit  the most decouplings that it trains
    """

    def __init__(self, *, limit: int = 2000) -> None:
        self.limit = checked_trials(limit)

    def trainings(self, problem: Problem) -> int:
        """How many decouplings it asks for."""
        return problem.space.size

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated."""
        size = problem.space.size
        if size > self.limit:
            raise UserError(
                f"this space has {size} decouplings and exhaustive(limit={self.limit}) trains every one; "
                f"restrict num_blocks, gaps or heads, or raise the limit"
            )
        scores: dict[Decoupling, Score] = {}
        report("trials", 0, size)
        for decoupling, score in in_order(evaluate, problem.space.enumerate()):
            scores[decoupling] = score
            report("trials", len(scores), size, best_error=min(score.error for score in scores.values()))
        return recommended(scores, problem.objectives)


def drawn(problem: Problem, first: Sequence[Decoupling] = ()) -> Iterator[Decoupling]:
    """Different decouplings of the space, those of `first` before any that is sampled, without end."""
    rng, drawn = random.Random(problem.seed), set(first)
    yield from first
    while True:
        if (decoupling := problem.space.sample(rng)) not in drawn:
            drawn.add(decoupling)
            yield decoupling


def recommended(scores: dict[Decoupling, Score], objectives: Sequence[str]) -> Found:
    """The decoupling with the lowest error, the earlier of equals; for several objectives the front and its lowest error."""
    if len(objectives) == 1:
        return Found(best(scores))
    points = list(scores)
    front = [points[i] for i in pareto_front([measured(score, objectives) for score in scores.values()])]
    return Found(best({point: scores[point] for point in front}), tuple(front))


def best(scores: dict[Decoupling, Score]) -> Decoupling:
    """The decoupling with the lowest error; the earlier of equals."""
    return min(scores, key=lambda decoupling: scores[decoupling].error)


def checked_trials(trials: int) -> int:
    """A budget of at least one training."""
    if trials < 1:
        raise UserError(f"a search trains at least one decoupling, got a budget of {trials}")
    return trials
