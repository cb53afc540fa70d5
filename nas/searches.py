"""One search with one seed, with everything that it was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nas.evaluations import Begin, Evaluations
from nas.notice import notice
from nas.objectives import measured, pareto_front
from nas.problem import Found, Problem, Report, Score, Strategy, report_end
from nas.records.status import OK
from nas.trials import Trials
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace


@dataclass(frozen=True)
class Evaluated:
    """A decoupling that a search with this seed asked for, and its score."""

    seed: int
    decoupling: Decoupling
    score: Score


@dataclass(frozen=True)
class Searched:
    """What a search found, and the scores of whole trainings that it asked for, in order."""

    seed: int
    found: Found
    scores: dict[Decoupling, Score]

    @property
    def score(self) -> Score:
        """The score of the decoupling that it recommends."""
        return self.scores[self.found.decoupling]

    @property
    def evaluated(self) -> list[Evaluated]:
        """Every decoupling that the search asked for, with its score; none that was trained only in part."""
        return [Evaluated(self.seed, decoupling, score) for decoupling, score in self.scores.items()]


def search_once(
    strategy: Strategy, problem: Problem, begin: Begin, report: Report, *, at_once: int = 1, trials: Trials | None = None
) -> Searched:
    """Search with the problem's seed, with `at_once` evaluations in flight, and write what is asked for to `trials`.

    A strategy that asks for or answers with something outside the space, or that it did not evaluate, is a UserError.
    """
    name = type(strategy).__name__
    scores: dict[Decoupling, Score] = {}

    def checked(decoupling: Decoupling, fidelity: float) -> Callable[[], Score]:
        _check_inside(problem.space, decoupling, f"the strategy {name} asks for")
        if fidelity != 1:
            problem.iterations_at(fidelity)  # refuses what is no share
        if trials:
            trials.begin(decoupling, fidelity)
        return begin(decoupling, fidelity)

    def remember(decoupling: Decoupling, fidelity: float, score: Score) -> None:
        if fidelity == 1:
            scores[decoupling] = score
        report_end(report, problem.named(decoupling), score.error, failed=score.status != OK)
        if score.status != OK:
            notice(f"the trial {problem.named(decoupling)} failed: {score.status}")
        if trials:
            trials.add(decoupling, score, fidelity)

    evaluations = Evaluations(checked, at_once=at_once, told=remember)
    try:
        found = strategy.search(problem, evaluations, report)
        evaluations.finish()
    finally:
        if trials:
            trials.close()
    if evaluations.most < min(at_once, evaluations.asked):
        notice(
            f"the strategy {name} had at most {evaluations.most} of {at_once} decouplings in flight; one that asks with "
            "evaluate.begin has more"
        )
    if not isinstance(found, Found):
        raise UserError(
            f"a strategy answers with a nas.problem.Found, but {name} answered with a {type(found).__name__}; return "
            "Found(decoupling)"
        )
    for point in (found.decoupling, *(found.front or ())):
        _check_inside(problem.space, point, f"the strategy {name} answers with")
        if point not in scores:
            raise UserError(
                f"a strategy evaluates what it recommends, but {name} answers with '{point}', which it never asked "
                "for as a whole; call evaluate with it first, at fidelity 1"
            )
    return Searched(problem.seed, found, scores)


def _check_inside(space: SearchSpace, point: object, who: str) -> None:
    """Refuse what is no decoupling, and one that the space does not have."""
    if not isinstance(point, Decoupling):
        raise UserError(
            f"a strategy asks for points of its space, which are spaces.decoupling.Decoupling, but {who} a "
            f"{type(point).__name__}; Decoupling.parse reads a text"
        )
    try:
        if Decoupling.parse(str(point)) != point:  # lists, as JSON has them, are no keys
            raise UserError("cuts and heads are tuples; Decoupling.parse reads a text")
        space.check(point)
    except UserError as error:
        raise UserError(f"{who} '{point}', which is outside its space: {error}") from None


def common_front(searches: Sequence[Searched], objectives: Sequence[str]) -> list[Evaluated]:
    """What is not dominated among the fronts of all searches, lowest error first; the earlier of equals.

    A search without a front stands there with its answer, so that for one objective this is the best answer. A decoupling
    may come once for each seed, as it is trained from each.
    """
    fronts = [
        Evaluated(search.seed, decoupling, search.scores[decoupling])
        for search in searches
        for decoupling in search.found.front or (search.found.decoupling,)
    ]
    kept = pareto_front([measured(point.score, objectives) for point in fronts])
    return sorted((fronts[position] for position in kept), key=lambda point: point.score.error)
