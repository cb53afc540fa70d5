"""Where Hyperband's decouplings come from: at random, or where Optuna's TPE expects good ones."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from nas.problem import Problem
from nas.studies.points import OptunaPoints
from spaces.decoupling import Decoupling

if TYPE_CHECKING:  # imported where it samples: whoever only asks what strategies there are does not wait for it
    from optuna import Study

SamplerName = Literal["random", "tpe"]
FEWEST = 10  # decouplings of one fidelity, from which on they say where to sample
RANDOM_OF = 3  # of so many one is drawn at random, as BOHB does
PATIENCE = 20  # suggestions in a row that were drawn before, after which one is drawn at random


class Proposals:
    """Different decouplings of the space, none twice: those of `first`, then sampled ones. `drawn` are all so far."""

    def __init__(self, problem: Problem, sampler: SamplerName, first: Collection[Decoupling]) -> None:
        self._space, self._seed, self._sampler = problem.space, problem.seed, sampler
        self._rng = random.Random(problem.seed)
        self._first = list(first)
        self.drawn: dict[Decoupling, None] = {}

    def draw(self, count: int, errors: Mapping[float, Mapping[Decoupling, float]]) -> list[Decoupling]:
        """So many new ones, or all that are left. `errors` are those known at each fidelity: with tpe the highest that has enough
        says where to sample (BOHB, Falkner et al. 2018)."""
        count = min(count, self._space.size - len(self.drawn))
        new = self._first[:count]
        del self._first[:count]
        self.drawn |= dict.fromkeys(new)
        known = [fidelity for fidelity in errors if len(errors[fidelity]) >= FEWEST]
        study = self._study(errors[max(known)]) if self._sampler == "tpe" and known else None
        while len(new) < count:
            suggested = None if study is None or len(new) % RANDOM_OF == RANDOM_OF - 1 else self._suggested(*study)
            new.append(self._unseen() if suggested is None else suggested)
            self.drawn[new[-1]] = None
        return new

    def _unseen(self) -> Decoupling:
        while (decoupling := self._space.sample(self._rng)) in self.drawn or decoupling in self._first:
            pass
        return decoupling

    def _study(self, errors: Mapping[Decoupling, float]) -> tuple[Study, OptunaPoints]:
        """One that knows these errors; seeded alike whenever it is made, by how many are drawn."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        points = OptunaPoints(self._space)
        seed = (self._seed * 1_000_003 + len(self.drawn)) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=FEWEST)
            )
        for decoupling, error in errors.items():
            params = points.encode(decoupling)
            distributions = {name: points.distributions[name] for name in params}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=error))
        return study, points

    def _suggested(self, study: Study, points: OptunaPoints) -> Decoupling | None:
        """What TPE would try next; None where it goes on naming what was drawn before."""
        for _ in range(PATIENCE):
            decoupling = points.decode(study.ask(points.distributions).params)
            if decoupling not in self.drawn and decoupling not in self._first:
                return decoupling
        return None
