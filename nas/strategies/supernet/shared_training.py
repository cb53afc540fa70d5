"""The two long parts of the search, which go on from one checkpoint: training the shared weights, and tuning candidates."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cached_property
from statistics import fmean
from typing import Any

import torch

from methods.method import Method
from methods.training.checkpoint import Checkpoint
from methods.training.diverged import Diverged
from methods.training.interruption import Interruptions
from methods.training.optimization import OPTIMIZERS, SCHEDULES, cosine, load_optimizer
from methods.training.saved_fields import whole
from methods.training.scoring import autocast, error_and_loss
from methods.training.trainer import stage_seed
from nas.data.task_data import Batch
from nas.problem import Problem, Report
from nas.strategies.supernet.settings import Settings
from nas.strategies.supernet.shared_weights import SharedWeights
from spaces.decoupling import Decoupling

JUDGED_AT_ONCE = 256  # validation samples
TUNING_SHARE = 0.2  # of the learning rate that weights are trained with
TUNING = cosine()  # the learning rate's factor over the steps of a candidate

State = dict[str, torch.Tensor]


class SharedTraining:
    """Each step trains one decoupling, drawn uniformly from the space (single path, Guo et al. 2020): gradients stop at its cuts,
    and of all heads only its own are used and updated.

    The network's own output does not depend on the cuts but through how it was trained. So a candidate is judged by the
    validation loss after some steps of its own from the shared weights; from the same weights, with the same batches, for all.
    `losses` runs what is left to do. A step is seeded by its number, so that the search continues to the bit.
    """

    def __init__(self, settings: Settings, problem: Problem, candidates: list[Decoupling], report: Report) -> None:
        self.settings, self.problem, self.candidates, self.report = settings, problem, candidates, report
        self.weights = SharedWeights(problem)
        self.iterations = settings.iterations or problem.settings.iterations
        self.lr = TUNING_SHARE * problem.settings.lr if settings.lr is None else settings.lr
        self.batches = problem.data.train_batches(problem.settings.batch_size)
        self.folder = problem.run_folder(self.key)
        self._schedule = SCHEDULES.build(problem.settings.schedule)
        self._optimizer = self._new_optimizer(problem.settings.lr)
        self._step = 0
        self._snapshots: list[State] = []
        self._losses: list[float] = []  # of all candidates from the first snapshot, then from the second, ...
        later = range(settings.snapshots)
        self._snapshots_at = sorted({max(1, round(self.iterations * (1 - i / (2 * settings.snapshots)))) for i in later})

    @cached_property
    def key(self) -> dict[str, Any]:
        """What makes two of these the same."""
        after = ("trials", "smooth")
        return {
            "search": "supernet",
            "space": str(self.problem.space.spec),
            **{name: cell for name, cell in self.problem.key(Decoupling()).items() if name != "decoupling"},
            **{f"supernet_{name}": value for name, value in vars(self.settings).items() if name not in after},
        }

    def losses(self) -> list[float]:
        """Each candidate's validation loss after tuning, the mean over the snapshots; inf where it diverged."""
        store = Checkpoint(self.folder / "search.pt", described=str(sorted(self.key.items())))
        if (saved := store.load(self.problem.device)) is not None:
            store.check_fields(saved, {"step": whole(0, self.iterations)})
            with store.damage_told():
                self.load_state_dict(saved)
        for _ in self.steps(store):
            pass
        places = range(len(self.candidates))
        return [fmean(self._losses[place :: len(self.candidates)]) for place in places]

    def steps(self, store: Checkpoint) -> Iterator[None]:
        """What is left to do, a step of training or a candidate at a time."""
        while not self._is_done:
            with Interruptions() as interruptions:
                self._advance()
                if store.due(force=self._is_done or interruptions.pending):
                    store.save(self.state_dict())
            yield

    @property
    def _is_done(self) -> bool:
        return self._step == self.iterations and len(self._losses) == len(self._snapshots) * len(self.candidates)

    def _advance(self) -> None:
        if self._step < self.iterations:
            loss = self._train()
            self.report("supernet: training the shared weights", self._step, self.iterations, loss=loss)
        else:
            loss = self._tuned(*divmod(len(self._losses), len(self.candidates)))
            self._losses.append(loss)
            total = len(self._snapshots) * len(self.candidates)
            self.report("supernet: tuning candidates", len(self._losses), total, validation_loss=loss)

    def _train(self) -> float:
        """One step of the shared weights: the sum of the local losses before it."""
        problem, step = self.problem, self._step
        point = problem.space.sample(random.Random(stage_seed(problem.seed, step, 1)))
        rate = problem.settings.lr * self._schedule((step + 1) / self.iterations)
        loss = self._stepped(self.weights.method(point), self._optimizer, rate, step)
        if not math.isfinite(loss):
            raise Diverged(f"the loss of the shared weights is {loss} at step {step}; try a smaller --lr")
        self._step += 1
        if self._step in self._snapshots_at:
            state = self.weights.module.state_dict()
            self._snapshots.append({name: tensor.clone() for name, tensor in state.items()})
        return loss

    def _tuned(self, snapshot: int, candidate: int) -> float:
        """The validation loss of a candidate after its steps from a snapshot."""
        self.weights.module.load_state_dict(self._snapshots[snapshot])
        method, optimizer = self.weights.method(self.candidates[candidate]), self._new_optimizer(self.lr)
        for step in range(self.settings.tune):
            rate = self.lr * TUNING((step + 1) / self.settings.tune)
            if not math.isfinite(self._stepped(method, optimizer, rate, self.iterations + step)):
                return math.inf
        _, loss = error_and_loss(method, self._judging(), self.problem.settings.precision)
        return loss if math.isfinite(loss) else math.inf

    def _stepped(self, method: Method, optimizer: torch.optim.Optimizer, rate: float, step: int) -> float:
        """Train each stage of the method on the step's batch: the sum of their losses before."""
        problem = self.problem
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(stage_seed(problem.seed, step, 0))
        x, y = self.batches.batch(problem.seed, step)
        carry, losses = method.start(x, y), []
        for k in range(method.num_stages):
            with autocast(problem.device, problem.settings.precision):
                carry, loss = method.isolated_stage(k, carry, y)
            loss.backward()
            losses.append(loss.detach())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # so that heads that are not drawn are left as they are, momentum and decay too
        return float(torch.stack(losses).sum())

    def _judging(self) -> Iterator[Batch]:
        data = self.problem.data
        size = min(self.settings.outer_batch, len(data.validation))
        at_once = min(JUDGED_AT_ONCE, size)
        batches = data.random_batches(data.validation, at_once)
        return (batches.batch(self.problem.seed, number) for number in range(size // at_once))

    def _new_optimizer(self, lr: float) -> torch.optim.Optimizer:
        settings = self.problem.settings
        return OPTIMIZERS.build(settings.optimizer, self.weights.module.parameters(), lr, settings.weight_decay)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the search goes on from."""
        state: dict[str, Any] = {"step": self._step, "snapshots": self._snapshots, "losses": self._losses}
        if self._step < self.iterations:
            state |= {"weights": self.weights.module.state_dict(), "optimizer": self._optimizer.state_dict()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._step, self._snapshots, self._losses = state["step"], list(state["snapshots"]), list(state["losses"])
        if self._step < self.iterations:
            self.weights.module.load_state_dict(state["weights"])
            load_optimizer(self._optimizer, state["optimizer"])
