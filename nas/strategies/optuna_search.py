"""Optuna's samplers. The only file that imports optuna."""

from __future__ import annotations

import random
import warnings
from typing import TYPE_CHECKING, Any, Literal

from nas.objectives import measured
from nas.problem import Evaluate, Found, Problem, Report, Score
from nas.strategies.random_search import checked_trials, recommended
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

if TYPE_CHECKING:  # imported where it searches: whoever only asks what strategies there are does not wait for it
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

PATIENCE = 20  # replays in a row before a point that never came is asked for (nas_frameworks.md 12.3)

SamplerName = Literal["tpe", "gp", "cmaes", "nsga2", "random"]


class OptunaSearch:
    """Ask-and-tell with one of Optuna's samplers until `trials` different decouplings were trained.

    K blocks are encoded as positions and heads as flat choices (`SearchSpace.dimensions`). A point that came before is
    replayed: its known score is told again and the budget is not charged. `cmaes` has no categories, so heads become
    ordered integers for it, and minimises a single objective; the others take all of the problem's at once.
    `population` is nsga2's; the others have none.
    """

    def __init__(self, *, sampler: SamplerName = "tpe", trials: int = 10, population: int = 10) -> None:
        if population < 2:
            raise UserError(f"optuna's population is a whole number from 2 on, got {population}")
        self.sampler, self.trials, self.population = sampler, checked_trials(trials), population

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
        space, distributions = problem.space, self._distributions(problem.space)
        rng = random.Random(problem.seed)
        scores: dict[Decoupling, Score] = {}
        wanted, replays = min(self.trials, space.size), 0
        while len(scores) < wanted:
            if replays >= PATIENCE:
                study.enqueue_trial(self._encoded(space, _unseen(space, scores, rng)))
            trial = study.ask(distributions)
            decoupling = space.decode(self._decoded(space, trial.params))
            replays = replays + 1 if decoupling in scores else 0
            if decoupling not in scores:
                scores[decoupling] = evaluate(decoupling)
                report("trials", len(scores), wanted, best_error=min(score.error for score in scores.values()))
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

    def _distributions(self, space: SearchSpace) -> dict[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, IntDistribution

        distributions: dict[str, BaseDistribution] = {}
        for name, choices in space.dimensions().items():
            if len(choices) == 1:
                continue
            if isinstance(choices, range):
                distributions[name] = IntDistribution(choices[0], choices[-1])
            elif self.sampler == "cmaes":
                distributions[name] = IntDistribution(0, len(choices) - 1)
            else:
                distributions[name] = CategoricalDistribution(choices)
        return distributions

    def _decoded(self, space: SearchSpace, params: dict[str, Any]) -> dict[str, int | str]:
        """Optuna's parameters as a point of the space's dimensions."""
        point: dict[str, int | str] = {}
        for name, choices in space.dimensions().items():
            value = params.get(name, choices[0])
            ordinal = self.sampler == "cmaes" and not isinstance(choices, range) and name in params
            point[name] = choices[value] if ordinal else value
        return point

    def _encoded(self, space: SearchSpace, decoupling: Decoupling) -> dict[str, Any]:
        """The decoupling as Optuna's parameters."""
        point, dimensions = space.encode(decoupling), space.dimensions()
        params: dict[str, Any] = {}
        for name, value in point.items():
            choices = dimensions[name]
            if len(choices) > 1:
                ordinal = self.sampler == "cmaes" and not isinstance(choices, range)
                params[name] = list(choices).index(value) if ordinal else value
        return params


def _unseen(space: SearchSpace, seen: dict[Decoupling, Score], rng: random.Random) -> Decoupling:
    while (decoupling := space.sample(rng)) in seen:
        pass
    return decoupling
