"""Search by weight sharing: train one network for all decouplings, rank them by a few steps from it, train the best."""

from __future__ import annotations

from methods.table import traits
from nas.evaluations import in_order
from nas.problem import Evaluate, Found, Problem, Report
from nas.strategies.random_search import best
from nas.strategies.supernet.ranking import candidates_of, smoothed
from nas.strategies.supernet.settings import Settings
from nas.strategies.supernet.shared_training import SharedTraining
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class Supernet(Settings):
    """One-shot search: the shared weights of all decouplings, then a ranking, then trainings of the best of it.

    Batch size, optimizer, schedule, weight decay and bf16 precision are the training settings'.
    """

    is_one_job = True

    def trainings(self, problem: Problem) -> int:
        """How many decouplings it trains wholly at most."""
        return self.trials

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """Of the first `trials` of the ranking the lowest validation error."""
        ranked = self.ranked(problem, report)
        wanted = list(ranked)[: self.trials]
        scores = {}
        report("trials", 0, len(wanted))
        for point, score in in_order(evaluate, wanted):
            scores[point] = score
            report("trials", len(scores), len(wanted), best_error=min(score.error for score in scores.values()))
        found = best(scores)
        return Found(found, notes=(f"it was number {wanted.index(found) + 1} of {len(ranked)} in the ranking",))

    def ranked(self, problem: Problem, report: Report) -> dict[Decoupling, float]:
        """Decouplings with what they were ranked by, the best first."""
        if problem.objectives != ("error",):
            raise UserError(
                f"supernet ranks by the validation loss, got the objectives {' '.join(problem.objectives)}; take another "
                "strategy, such as optuna"
            )
        if traits(problem.method).end_to_end:
            raise UserError(
                f"supernet decides where gradients are cut, but those of {problem.method} cross every cut; take another "
                "strategy, such as optuna, or another method"
            )
        if problem.space.block_counts[-1] == 1:
            raise UserError("supernet decides where to cut, but this space allows a single block; raise num_blocks")
        if problem.settings.compile != "no" or problem.settings.precision == "fp16" or problem.settings.grow is not None:
            raise UserError(
                "supernet trains a new network each step, without compilation, loss scaling or growth; leave --compile, --grow "
                "and fp16 out, and give them to the evaluate command for what is found"
            )
        training = self.training(problem, report)
        with problem.results.claim(training.folder):
            losses = dict(zip(training.candidates, training.losses(), strict=True))
        by = smoothed(losses, problem.space, problem.seed) if self.smooth and len(losses) > 2 else losses
        return {point: by[point] for point in sorted(by, key=by.__getitem__)}

    def training(self, problem: Problem, report: Report) -> SharedTraining:
        """The long part of the search, which lies in a folder of its own."""
        return SharedTraining(self, problem, candidates_of(problem.space, self.candidates, problem.seed), report)
