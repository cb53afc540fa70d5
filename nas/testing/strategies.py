"""What every strategy holds, tried on a table of scores in place of training."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluations import Evaluations, when_told
from nas.objectives import measured
from nas.problem import Found, Problem, Score, Strategy, silent
from nas.records.results import Results
from nas.strategies import STRATEGIES
from nas.testing.spec import spec_of
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

STOPS = (0, 1, 3)  # trainings after which a search is ended, to be begun again
HEADS = [f"conv(depth={depth})" for depth in (1, 2)]


class Stopped(Exception):
    """As a signal ends a search in the middle."""


def separable_table(space: SearchSpace, seed: int = 0) -> dict[Decoupling, float]:
    """An error for each decoupling: the sum of what its cuts and its heads are worth, and no two alike."""
    rng = random.Random(seed)
    cuts, heads = ({part: rng.uniform(-1, 1) for part in parts} for parts in (space.gaps, space.heads))
    return {
        point: 0.5 + (sum(map(cuts.__getitem__, point.cuts)) + sum(map(heads.__getitem__, point.heads))) / 40 + 1e-9 * number
        for number, point in enumerate(space.enumerate())
    }


class Scores:
    """An `evaluate` that looks errors up, keeps what it found, as the results files do, and stops after so many trainings.

    `asked` and `trained` are whole trainings; `begun` are all, with their fidelities. The shorter one is, the larger its error.
    The longest block decides on memory, so two objectives disagree. With `diverged`, every training is one that diverged.
    """

    def __init__(self, space: SearchSpace, stop_after: int | None = None, *, diverged: bool = False) -> None:
        self.space, self.table = space, separable_table(space)
        self.stop_after, self.diverged = stop_after, diverged
        self.asked: list[Decoupling] = []
        self.trained: list[Decoupling] = []
        self.begun: list[tuple[Decoupling, float]] = []

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score:
        assert isinstance(decoupling, Decoupling), "a strategy asks for a spaces.Decoupling"
        self.space.check(decoupling)
        assert 0 < fidelity <= 1, "a fidelity is a share of the iterations"
        self.asked += [decoupling] if fidelity == 1 else []
        if (decoupling, fidelity) not in self.begun:
            if len(self.begun) == self.stop_after:
                raise Stopped
            self.begun.append((decoupling, fidelity))
            self.trained += [decoupling] if fidelity == 1 else []
        longest = max(map(len, decoupling.blocks(self.space.num_units)))
        if self.diverged:
            return Score(1.0, float("nan"), longest, 1.0, "diverged: the loss of stage 0 is nan")
        return Score(self.table[decoupling] + (1 - fidelity) / 10, 0.0, longest, self.space.num_units / longest)


def dominated(values: Sequence[float], others: Mapping[Decoupling, Sequence[float]]) -> bool:
    """Whether another is nowhere worse, and not the same."""
    return any(other != values and all(a <= b for a, b in zip(other, values, strict=True)) for other in others.values())


class StrategyContract:
    """Stays in its space, recommends what it evaluated, and asks the same again, so that a search that was ended goes on.

    strategy  the strategy: a spec with its settings, or a class that can be imported; give it a small budget. One that trains
              networks itself, as sedona does, is not tried here: only scores from a table are given
    """

    strategy: ClassVar[str | Callable[..., Strategy]]
    num_blocks: ClassVar[int | tuple[int, int]] = (2, 4)

    @pytest.fixture
    def spec(self) -> str:
        """The strategy's name with its settings."""
        return spec_of(self.strategy)

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space that is searched."""
        return SearchSpace("small(width=0.25)", HEADS, input_shape=(1, 8, 8), num_classes=10, num_blocks=self.num_blocks)

    def find(
        self, spec: str, evaluate: Scores, *, seed: int = 0, objectives: tuple[str, ...] = ("error",), at_once: int = 1
    ) -> Found:
        """What a search with this seed answers, with so many in flight. There is no data, and none to be read."""
        nothing = Split(torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
        images = Images(nothing, nothing, lambda: nothing, 10, (0.0,), (1.0,))
        problem = Problem(
            evaluate.space,
            "dgl",
            "digits",
            images,
            TrainingSettings(),
            seed,
            torch.device("cpu"),
            Results("results"),
            Path("runs"),
            objectives=objectives,
        )
        found = STRATEGIES.build(spec).search(problem, Evaluations(when_told(evaluate), at_once=at_once), silent)
        assert isinstance(found, Found), "a strategy answers with a nas.problem.Found"
        return found

    def test_stays_in_the_space_and_recommends_what_it_evaluated(self, spec: str, space: SearchSpace) -> None:
        for seed in (0, 1):
            evaluate = Scores(space)
            assert self.find(spec, evaluate, seed=seed).decoupling in evaluate.trained

    def test_one_objective_leaves_no_front(self, spec: str, space: SearchSpace) -> None:
        assert self.find(spec, Scores(space)).front == ()

    def test_asks_the_same_again_and_goes_on_after_a_stop(self, spec: str, space: SearchSpace) -> None:
        whole, again = Scores(space), Scores(space)
        found = self.find(spec, whole)
        assert self.find(spec, again) == found and (again.asked, again.begun) == (whole.asked, whole.begun)
        for stop in (stop for stop in STOPS if stop < len(whole.begun)):
            stopped = Scores(space, stop_after=stop)
            with pytest.raises(Stopped):
                self.find(spec, stopped)
            stopped.stop_after = None
            assert self.find(spec, stopped) == found
            assert stopped.begun == whole.begun

    def test_with_several_in_flight_it_asks_the_same_again_and_stays_within_them(self, spec: str, space: SearchSpace) -> None:
        """What a strategy asks for may depend on how many are in flight, and on nothing else but scores."""
        for at_once in (2, 5):
            whole, again = Scores(space), Scores(space)
            found = self.find(spec, whole, at_once=at_once)
            assert found.decoupling in whole.trained
            assert self.find(spec, again, at_once=at_once) == found and again.begun == whole.begun

    def test_answers_when_every_training_diverges(self, spec: str, space: SearchSpace) -> None:
        evaluate = Scores(space, diverged=True)
        assert self.find(spec, evaluate).decoupling in evaluate.trained

    def test_several_objectives_give_a_front_or_are_refused(self, spec: str, space: SearchSpace) -> None:
        """A front is all that nothing evaluated dominates, and the answer lies on it; a refusal comes before any training."""
        objectives, evaluate = ("error", "peak_memory"), Scores(space)
        try:
            found = self.find(spec, evaluate, objectives=objectives)
        except UserError:
            assert evaluate.begun == []
            return
        values = {point: measured(evaluate(point), objectives) for point in [*evaluate.trained]}
        assert set(found.front) == {point for point in values if not dominated(values[point], values)}
        assert found.decoupling in found.front

    def test_is_written_with_its_settings(self, spec: str) -> None:
        written = STRATEGIES.resolve(spec)
        assert STRATEGIES.resolve(str(written)) == written
