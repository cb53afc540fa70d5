"""Optuna's samplers."""

from __future__ import annotations

import random
import warnings
from collections import deque
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Literal

from nas.objectives import measured
from nas.problem import Evaluate, Found, Pending, Problem, Report, Score
from nas.strategies.first import first_decouplings
from nas.strategies.random_search import checked_trials, recommended
from nas.studies.points import OptunaPoints
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

if TYPE_CHECKING:  # imported where it searches: whoever only asks what strategies there are does not wait for it
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

PATIENCE = 20  # replays in a row before a point that never came is asked for

SamplerName = Literal["tpe", "gp", "cmaes", "nsga2", "random"]


class OptunaSearch:
    """Ask-and-tell with one of Optuna's samplers until `trials` different decouplings were trained.

    K blocks are encoded as positions and heads as flat choices. Trial n is asked for as soon as trial
    n - `evaluate.at_once` was told; what is in flight meanwhile tpe takes for bad (the constant liar) and gp for what it expects
    of it, while cmaes, nsga2 and random leave it out. A point that came before is replayed: its known score is told again, the
    budget is not charged and nothing is in flight for it. `cmaes` has no categories, so heads become
    ordered integers for it, and minimises a single objective; the others take all of the problem's at once.
    `population` is nsga2's; the others have none. `first` are rules of decouplings that are evaluated before any that is sampled,
    part of the budget; the sampler learns from them.

    trials      different decouplings that are trained
    sampler     Optuna's: tpe, gp, cmaes, nsga2 or random
    population  of nsga2 alone
    """

    def __init__(
        self, *, sampler: SamplerName = "tpe", trials: int = 10, population: int = 10, first: Sequence[str] | None = None
    ) -> None:
        if population < 2:
            raise UserError(f"optuna's population is a whole number from 2 on, got {population}")
        self.sampler, self.trials, self.population, self.first = sampler, checked_trials(trials), population, first

    def trainings(self, problem: Problem) -> int:
        """How many decouplings it asks for at most."""
        return self.trials

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated."""
        import optuna

        objectives = problem.objectives
        if self.sampler == "cmaes" and len(objectives) > 1:
            raise UserError(
                f"cmaes minimises one objective, got {' '.join(objectives)}; "
                "choose another sampler, such as optuna(sampler=nsga2)"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(directions=["minimize"] * len(objectives), sampler=self._sampler(problem.seed))
        space, points = problem.space, OptunaPoints(problem.space, ordered=self.sampler == "cmaes")
        rng = random.Random(problem.seed)
        scores: dict[Decoupling, Score] = {}
        in_flight: dict[Decoupling, Pending] = {}
        untold: deque[tuple[Trial, Decoupling]] = deque()
        wanted, replays = min(self.trials, space.size), 0
        for decoupling in first_decouplings(self.first, problem, self.trials):
            study.enqueue_trial(points.encode(decoupling))
        report("trials", 0, wanted)
        while len(scores) < wanted:
            while len(in_flight) < min(evaluate.at_once, wanted - len(scores)):
                if replays >= PATIENCE:
                    study.enqueue_trial(points.encode(_unseen(space, {*scores, *in_flight}, rng)))
                trial = study.ask(points.distributions)
                decoupling = points.decode(trial.params)
                is_new = decoupling not in scores and decoupling not in in_flight
                replays = 0 if is_new else replays + 1
                if is_new:
                    in_flight[decoupling] = evaluate.begin(decoupling)
                if decoupling in scores:
                    study.tell(trial, measured(scores[decoupling], objectives))
                else:  # what is in flight already is told when that is
                    untold.append((trial, decoupling))
            oldest = untold[0][1]
            scores[oldest] = in_flight.pop(oldest).result()
            report("trials", len(scores), wanted, best_error=min(score.error for score in scores.values()))
            while untold and untold[0][1] in scores:
                trial, decoupling = untold.popleft()
                study.tell(trial, measured(scores[decoupling], objectives))
        return recommended(scores, objectives)

    def _sampler(self, seed: int) -> BaseSampler:
        """Always constructed by name and settings, never Optuna's default, which changes with its version."""
        import optuna

        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, deterministic_objective=False),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, with_margin=True),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=self.population),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        return samplers[self.sampler]()


def _unseen(space: SearchSpace, seen: Container[Decoupling], rng: random.Random) -> Decoupling:
    while (decoupling := space.sample(rng)) in seen:
        pass
    return decoupling
