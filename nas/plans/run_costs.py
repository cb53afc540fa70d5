"""About how long a run takes, from a few of its steps, and how much memory, from shapes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median

import torch

from methods.training.scoring import error_and_loss
from methods.training.stages.seconds import MOST_SECONDS as TIMING_STAGES
from methods.training.trainer import Trainer
from nas.cost import Cost, cost, wait_for
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE
from nas.problem import Problem
from spaces.decoupling import Decoupling

FEWEST, MOST_SECONDS = 5, 2.0  # steps that are timed, and for how long
MOST_TIMED = 8  # networks; the others are estimated by their MACs
UNSEEN = 0.2  # of the seconds: what a few steps do not show, such as other work on the machine later
COPIES = {"sgd": 1, "adam": 2}  # numbers that an optimizer keeps for each weight


@dataclass(frozen=True)
class Estimate:
    """Seconds: about so many, and between which they are likely to lie."""

    seconds: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """As much more or less."""
        return Estimate(self.seconds * factor, self.low * factor, self.high * factor)

    @staticmethod
    def total(parts: Sequence[Estimate]) -> Estimate:
        """Of one after the other."""
        return Estimate(sum(one.seconds for one in parts), sum(one.low for one in parts), sum(one.high for one in parts))


@dataclass(frozen=True)
class Timed:
    """Steps of a network that were timed: seconds of a training step, its batch included, and of one sample of validation."""

    step: Estimate
    sample: float
    steps: int
    macs: int


class RunCosts:
    """What runs of a problem cost, each decoupling looked at once."""

    def __init__(self) -> None:
        self._costs: dict[tuple[str, Decoupling], Cost] = {}
        self._timed: dict[tuple[str, Decoupling], Timed] = {}
        self._counting: dict[tuple[str, Decoupling], float] = {}  # seconds

    @property
    def steps(self) -> int:
        """How many steps were timed, of how many networks (`networks`)."""
        return sum(one.steps for one in self._timed.values())

    @property
    def networks(self) -> int:
        return len(self._timed)

    def cost(self, problem: Problem, asked: Decoupling) -> Cost:
        """From shapes alone."""
        point, data = problem.adapt(asked), problem.data
        key = problem.method, point
        if key not in self._costs:
            size = problem.settings.batch_size // (problem.settings.replicas or 1)
            began = time.perf_counter()
            self._costs[key] = cost(lambda: problem.build(point), data.input_shape, data.num_classes, size)
            self._counting[key] = time.perf_counter() - began
        return self._costs[key]

    def macs(self, problem: Problem, decoupling: Decoupling) -> int:
        """Multiply-accumulates of one sample in training, forward, heads included."""
        found = self.cost(problem, decoupling)
        return found.macs + found.head_macs

    def bytes(self, problem: Problem, decoupling: Decoupling) -> int:
        """The peak of activations of a step, weights, gradients and what the optimizer keeps; beside the data and PyTorch."""
        found = self.cost(problem, decoupling)
        weights = found.params + found.head_params
        gradients = max(block.params + block.head_params for block in found.blocks)
        copies = COPIES.get(problem.settings.optimizer.partition("(")[0], 1)
        return found.peak_activation_bytes + 4 * (weights * (1 + copies) + gradients)

    def run(self, problem: Problem, decoupling: Decoupling, *, tests: bool) -> Estimate:
        """A whole training, its validations, and its test."""
        timed = self._nearest(problem, decoupling)
        factor = self.macs(problem, decoupling) / timed.macs if timed.macs else 1.0
        settings, data = problem.settings, problem.data
        per_epoch = data.train_batches(settings.batch_size).num_batches
        validations = math.ceil(settings.iterations / per_epoch) + tests  # the test split counts as another validation
        samples = validations * len(data.validation)
        scored = Estimate(*[timed.sample * samples] * 3)
        whole = Estimate.total([timed.step.times(settings.iterations), scored]).times(factor)
        return Estimate.total([whole, self._beside(problem, decoupling)])

    def _beside(self, problem: Problem, decoupling: Decoupling) -> Estimate:
        """What each run takes beside training: its costs are counted, and the stages of several blocks are timed."""
        counting = self._counting[problem.method, problem.adapt(decoupling)]
        timing = TIMING_STAGES if len(self.cost(problem, decoupling).blocks) > 1 else 0.0
        return Estimate(counting + timing / 2, counting, counting + timing)

    def _nearest(self, problem: Problem, asked: Decoupling) -> Timed:
        """The network itself, timed, or the nearest in MACs of those that were timed of this method, once there are enough."""
        point, wanted = problem.adapt(asked), self.macs(problem, asked)
        of_method = {known: one for (method, known), one in self._timed.items() if method == problem.method}
        if point in of_method:
            return of_method[point]
        if not of_method or (len(self._timed) < MOST_TIMED and not any(_near(one.macs, wanted) for one in of_method.values())):
            self._timed[problem.method, point] = timed(problem, point, wanted)
            return self._timed[problem.method, point]
        return min(of_method.values(), key=lambda one: abs(math.log((one.macs or 1) / (wanted or 1))))


def _near(one: int, other: int) -> bool:
    return min(one, other) > 0.8 * max(one, other)


def timed(problem: Problem, point: Decoupling, macs: int) -> Timed:
    """A few steps, each with the making of its batch, after one that warms up, and a batch of validation."""
    method, settings = problem.build(point), problem.settings
    plain = replace(settings, grow=None, compile="no")
    trainer = Trainer(method, plain, seed=problem.seed, device=problem.device)
    batches = problem.data.train_batches(settings.batch_size // (settings.replicas or 1), limit=settings.class_limit)
    seconds = list(_steps(trainer, problem, batches))
    low, high = _quantile(seconds, 0.1), _quantile(seconds, 0.9)
    step = Estimate(median(seconds), min(low, median(seconds) * (1 - UNSEEN)), max(high, median(seconds) * (1 + UNSEEN)))
    return Timed(step, _validation(problem, trainer), len(seconds), macs)


def _steps(trainer: Trainer, problem: Problem, batches: object) -> Iterator[float]:
    began, count = time.perf_counter(), 0
    while count <= FEWEST or time.perf_counter() - began < MOST_SECONDS:
        before = time.perf_counter()
        x, y = batches.batch(problem.seed, count)  # type: ignore[attr-defined]
        trainer.step(x, y, 0)
        wait_for(problem.device)
        if count:
            yield time.perf_counter() - before
        else:
            began = time.perf_counter()
        count += 1


def _validation(problem: Problem, trainer: Trainer) -> float:
    """Seconds of one sample."""
    data = problem.data
    for _ in range(2):  # the first warms up
        before = time.perf_counter()
        error_and_loss(trainer.method, islice(data.eval_batches(data.validation, EVAL_BATCH_SIZE), 1), problem.settings.precision)
        wait_for(problem.device)
        seconds = time.perf_counter() - before
    return seconds / min(EVAL_BATCH_SIZE, len(data.validation))


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def largest_first(costs: RunCosts, problem: Problem, points: Sequence[Decoupling]) -> list[Decoupling]:
    """By their MACs, so that what is timed first is what takes longest."""
    with torch.device("cpu"):
        return sorted(points, key=lambda point: -costs.macs(problem, point))
