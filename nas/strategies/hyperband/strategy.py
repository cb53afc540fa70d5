"""Hyperband over decouplings: partial trainings that go on from their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Literal

from nas.problem import Evaluate, Found, Problem, Report, Score
from nas.records.status import OK
from nas.strategies.first import first_decouplings
from nas.strategies.hyperband.brackets import Bracket, brackets, fitting, promoted
from nas.strategies.hyperband.proposals import Proposals, SamplerName
from nas.strategies.random_search import best, checked_trials
from nas.strategies.rank import rank
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class Hyperband:
    """Trains many decouplings for a few iterations and the best of them for more (Li et al. 2018).

    trials        the budget, in iterations of so many whole trainings, which it never exceeds
    eta           of each rung one of eta goes on, to eta times the iterations
    min_fidelity  the share of the iterations that decouplings begin with; an epoch at least is wise
    brackets      how many brackets a round has, the one with the most decouplings first; 1 is successive halving. None for all
    sampler       random, or tpe: Optuna samples where the highest fidelity with enough decouplings says (BOHB's idea)
    first         rules of decouplings that begin before any that is sampled
    schedules     own: every training has a whole schedule, which ends with it, so the next rung begins anew, at its full cost.
                  None for those of the whole training, of which shorter ones are the beginning

    Rounds of brackets follow each other until the budget is spent; the last bracket has fewer decouplings. A rung is asked for
    as a whole, and the next begins when all of it are told, so what goes on depends on scores alone: the lowest error, the
    earlier of equals, none that failed while others did not. Nothing is asked for twice. Where all of the space was drawn, a
    bracket takes those that are not trained wholly, the furthest first; with all trained the search ends. The answer is the
    lowest error at fidelity 1. Other objectives than error are the same however far a training goes, and are refused.

    Optuna's HyperbandPruner is no help here: it stops trials that run by what others had reported by then, cannot go on with one
    that was stopped, and gives each trial a bracket by a hash of the study's name.
    """

    def __init__(
        self,
        *,
        trials: int = 10,
        eta: int = 3,
        min_fidelity: float = 0.037,
        brackets: int | None = None,
        sampler: SamplerName = "random",
        first: Sequence[str] | None = None,
        schedules: Literal["own"] | None = None,
    ) -> None:
        if eta < 2:
            raise UserError(f"hyperband's eta is a whole number from 2 on, got {eta}")
        if not 0 < min_fidelity <= 1:
            raise UserError(f"hyperband's min_fidelity is a share above 0 and up to 1, got {min_fidelity:g}")
        if brackets is not None and brackets < 1:
            raise UserError(f"hyperband's brackets is a whole number from 1 on, got {brackets}")
        if schedules is not None and min_fidelity * eta > 1 + 1e-9:
            raise UserError(
                f"hyperband's schedules={schedules} is for rungs of shorter trainings, got none by eta={eta} and "
                f"min_fidelity={min_fidelity:g}; leave it out, or give a min_fidelity of 1 / eta or less"
            )
        self.trials, self.eta, self.min_fidelity, self.brackets = checked_trials(trials), eta, min_fidelity, brackets
        self.sampler, self.first, self.own_schedules = sampler, first, schedules == "own"

    def trainings(self, problem: Problem) -> int:
        """Of how many whole trainings the iterations are that it asks for at most."""
        return self.trials

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """The decoupling with the lowest error of those that were trained wholly."""
        if problem.objectives != ("error",):
            raise UserError(f"hyperband minimises error alone, got {' '.join(problem.objectives)}; leave the others out")
        iterations = problem.settings.iterations
        whole = brackets(self.eta, self.min_fidelity, iterations)
        first = first_decouplings(self.first, problem, self.trials)
        halving = _Halving(problem, evaluate, Proposals(problem, self.sampler, first), own_schedules=self.own_schedules)
        budget = self.trials * iterations
        report("iterations", 0, budget)
        for bracket in cycle(whole[: self.brackets]):
            smaller = fitting(bracket, budget - halving.spent, halving.cost)
            if smaller is None or not halving.run(smaller):
                break
            report("iterations", halving.spent, budget, best_error=min(score.error for score in halving.wholly.values()))
        return Found(best(halving.wholly))


class _Halving:
    """What is known of every decoupling at every fidelity that was asked for, and what that took."""

    def __init__(self, problem: Problem, evaluate: Evaluate, proposals: Proposals, *, own_schedules: bool) -> None:
        self._own_schedules = own_schedules
        self._iterations_at, self._evaluate, self._proposals = problem.iterations_at, evaluate, proposals
        self._scores: dict[float, dict[Decoupling, Score]] = {}
        self._furthest: dict[Decoupling, float] = {}
        self.spent = 0  # iterations

    @property
    def wholly(self) -> dict[Decoupling, Score]:
        """The scores at fidelity 1."""
        return self._scores.get(1.0, {})

    def cost(self, bracket: Bracket) -> int:
        """Iterations of a bracket whose decouplings are new."""
        return bracket.cost(self._iterations_at, own_schedules=self._own_schedules)

    def run(self, bracket: Bracket) -> bool:
        """One bracket; False where every decoupling of the space is trained wholly."""
        rung = self._begun(bracket.size)
        if not rung:
            return False
        for size, fidelity in zip((*bracket.sizes[1:], 0), bracket.fidelities, strict=True):
            scores = self._told(rung, fidelity)
            if size:
                rung = [rung[i] for i in promoted([rank(score) for score in scores], size)]
        return True

    def _begun(self, size: int) -> list[Decoupling]:
        """New decouplings; where there are too few, also those that are trained in part, the furthest first."""
        known = {
            fidelity: {point: score.error for point, score in scores.items() if score.status == OK}
            for fidelity, scores in self._scores.items()
        }
        new = self._proposals.draw(size, known)
        partly = [point for point, fidelity in self._furthest.items() if fidelity < 1]
        partly.sort(key=lambda point: (-self._furthest[point], self._scores[self._furthest[point]][point].error))
        return new + partly[: size - len(new)]

    def _told(self, rung: Sequence[Decoupling], fidelity: float) -> list[Score]:
        """The score of each at this fidelity, or at the next above it where it was trained further before."""
        asked = {}
        for point in rung:
            if self._furthest.get(point, 0.0) < fidelity:
                self.spent += self._iterations_at(fidelity) - self._done(point)
                self._furthest[point] = fidelity
                asked[point] = self._evaluate.begin(point, fidelity)
        for point, pending in asked.items():
            self._scores.setdefault(fidelity, {})[point] = pending.result()
        return [self._known(point, fidelity) for point in rung]

    def _done(self, point: Decoupling) -> int:
        """Iterations that it goes on from."""
        return self._iterations_at(self._furthest[point]) if point in self._furthest and not self._own_schedules else 0

    def _known(self, point: Decoupling, fidelity: float) -> Score:
        return next(
            self._scores[known][point] for known in sorted(self._scores) if known >= fidelity and point in self._scores[known]
        )
