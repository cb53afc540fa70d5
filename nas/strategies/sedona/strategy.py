"""SEDONA (Pyeon, Moon, Hahn and Kim, ICLR 2021): learn where to cut and which head to use by gradient descent."""

from __future__ import annotations

from dataclasses import replace

from methods.table import traits
from nas.evaluations import in_order
from nas.problem import Evaluate, Found, Problem, Report
from nas.records.log import Log
from nas.records.row_kinds import DECISIONS
from nas.strategies.random_search import best
from nas.strategies.sedona.decisions import Decision, decisions, discretise
from nas.strategies.sedona.meta_learning import MetaLearning
from nas.strategies.sedona.settings import Settings
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.heads.conv_fc import gives_embedding
from spaces.notation.errors import UserError


class Sedona(Settings):
    """Meta-learns alpha (cut or not) and beta (which head) through training steps, by gradient descent (Pyeon et al. 2021).

    One search answers for every K that the space allows. objective=train also switches the rule by which weights learn. Batch
    size, weight decay and bf16 precision are the training settings'. A step is seeded by its number, so that a search continues
    from its checkpoint to the bit.
    """

    is_one_job = True

    def trainings(self, problem: Problem) -> int:
        """How many decouplings it trains in the end: one for each K."""
        return len(problem.space.tightened().block_counts)

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """The decoupling that alpha and beta point at; of several K that the space allows, the lowest validation error.

        The notes say how sure each of its cuts is; decisions.csv says it for every K.
        """
        if problem.objectives != ("error",):
            raise UserError(
                f"sedona minimises the error alone, got the objectives {' '.join(problem.objectives)}; its "
                "settings memory_weight and time_weight add what the largest block costs to it"
            )
        if traits(problem.method).end_to_end:
            raise UserError(
                f"sedona decides where gradients are cut, but those of {problem.method} cross every cut; take "
                "another strategy, such as optuna, or another method"
            )
        if problem.space.block_counts[-1] == 1:
            raise UserError("sedona decides where to cut, but this space allows a single block; raise num_blocks")
        if NO_HEAD in problem.space.heads:
            raise UserError(
                "sedona finds cuts through the losses of heads, but the space has the head none; name one instead, "
                "such as linear, which a method without heads leaves out of what it trains"
            )
        for head in filter(gives_embedding, problem.space.heads):
            raise UserError(f"sedona mixes the logits of heads, but {head} gives an embedding; leave embedding=True out")
        space = problem.space.tightened()  # a gap that no answer may cut is not relaxed either
        problem = replace(problem, space=space)
        learning = MetaLearning(self, problem, report)
        log = problem.results.log("decisions.csv", DECISIONS)
        if log.find({"run": learning.folder.name}) is None:  # or all is there, and may be read-only
            for written in (log, learning.trajectory):
                written.check_ready()  # before hours, not after
        with problem.results.claim(learning.folder):  # a second process of the same search takes over what the first found
            architecture = learning.run()
            points = [discretise(architecture, space, num_blocks) for num_blocks in space.block_counts]
            sure = {point: decisions(architecture, space, point) for point in points}
            _record(log, learning.folder.name, problem.seed, sure)
        report("trials", 0, len(points))
        scores = {}
        for point, score in in_order(evaluate, points):
            scores[point] = score
            report("trials", len(scores), len(points), best_error=min(score.error for score in scores.values()))
        found = best(scores)
        return Found(found, notes=tuple(str(decision) for decision in sure[found]))


def _record(log: Log, run: str, seed: int, sure: dict[Decoupling, list[Decision]]) -> None:
    """One row a cut of each K."""
    rows = [
        {"run": run, "seed": seed, "num_blocks": point.num_blocks, **vars(decision), "certainty": decision.certainty}
        for point, decided in sure.items()
        for decision in decided
    ]
    if rows and log.find({"run": run}) is None:
        log.append_all(rows)
