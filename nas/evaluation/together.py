"""Runs that are trained in one go: those of one method, one seed and one setting, what begins alike once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import torch

from methods.training.prefix_tree import why_apart
from nas.evaluation.by_fidelity import ByFidelity
from nas.evaluation.evaluator import Evaluator
from nas.problem import Problem, Score
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


def finish_together(evaluator: Evaluator, decouplings: Sequence[Decoupling], fidelity: float = 1.0) -> None:
    """Finish all of them that are not done, but those that another process is at."""
    with ExitStack() as claims:
        mine = []
        for decoupling in dict.fromkeys(decouplings):
            claim = evaluator.claim(decoupling)
            if evaluator.is_done(decoupling, fidelity) or not claim.try_take():
                continue
            claims.callback(claim.release)
            if not evaluator.is_done(decoupling, fidelity):  # still, now that nobody else has it
                mine.append(decoupling)
        if mine:
            evaluator.run_together(mine, fidelity)


class Together:
    """What a search asks for waits, and is trained in one go with all of the same fidelity when its score is needed."""

    def __init__(self, scores: ByFidelity) -> None:
        self._scores = scores
        self._waiting: dict[float, list[Decoupling]] = {}

    def begin(self, decoupling: Decoupling, fidelity: float) -> Callable[[], Score]:
        """What gives the score."""
        self._waiting.setdefault(fidelity, []).append(decoupling)
        return partial(self._score, decoupling, fidelity)

    def _score(self, decoupling: Decoupling, fidelity: float) -> Score:
        if decoupling in self._waiting.get(fidelity, ()):
            evaluator, share = self._scores.at(fidelity)
            assert isinstance(evaluator, Evaluator), "only what trains is trained together"
            finish_together(evaluator, self._waiting.pop(fidelity), share)
        return self._scores(decoupling, fidelity)


def check_together(problem: Problem, method: str, point: Decoupling) -> None:
    """Refuse what cannot be trained together: a method whose stages read others, and what has to do with a run alone."""
    rule = "--train-together shares the first blocks of runs"
    if problem.settings.grow is not None or problem.extends is not None:
        raise UserError(f"{rule}, which all begin anew and at once; leave --grow and --extend out, or --train-together")
    if problem.figures:
        raise UserError(f"{rule}, of which none is measured alone, got {' '.join(problem.figures)}; leave --measure out")
    with torch.device("meta"):
        if (reason := why_apart(problem.build(point))) is not None:
            raise UserError(f"{rule}, but {method} has to be trained alone: {reason}; leave it out")
