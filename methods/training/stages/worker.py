"""What one process does with the items of a run: it trains, validates and saves its own stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from methods.training.batches import TrainBatches
from methods.training.diverged import Diverged
from methods.training.epoch import EpochLosses
from methods.training.saved_fields import COUNT, FINITE, MAPPING, POSITIVE, TENSORS, Field, whole
from methods.training.scoring import ErrorAndLoss, autocast
from methods.training.stages.items import (
    Answer,
    Collect,
    Collected,
    Judged,
    Losses,
    Save,
    Saved,
    Step,
    Validated,
    Validating,
    Verdict,
    Weights,
)
from methods.training.stages.stage_checkpoints import StageCheckpoints
from methods.training.step_clock import StepClock
from methods.training.trainer import Trainer, copy_weights, named_tensors

CUDA_READ_INTERVAL = 50  # iterations between two looks at the losses on a GPU, each of which waits for it


@dataclass
class Best:
    """The weights with the lowest validation error since the last stage began; the earlier of equals."""

    error: float = math.inf
    loss: float = math.inf
    iteration: int = 0
    weights: Weights = field(default_factory=dict)


SAVED = {"best": MAPPING, "trainer": MAPPING}
SAVED_LOSSES = {"losses": FINITE.listed("a finite number each"), "seconds": POSITIVE.listed("a number above 0 each")}
SAVED_HISTORY = {  # which checkpoints of older versions have not
    "elapsed": Field("a number", lambda held: type(held) in (int, float)),
    "epoch_losses": MAPPING,
}
SAVED_BEST = {
    "error": Field("a number", lambda held: type(held) in (int, float)),
    "loss": Field("a number", lambda held: type(held) in (int, float)),
    "iteration": COUNT,
}


class StageWorker:
    """The stages of one process, at some iteration of a run. `handle` does what an item asks for and gives the item for the
    next process; `tell` is called with what the process of the first stage is to know.

    `batches` are given to a first stage that draws its own, that of a replica. With `exit_errors` a validation scores every
    exit, and not the deepest alone.
    """

    def __init__(
        self,
        trainer: Trainer,
        store: StageCheckpoints,
        tell: Callable[[Any], None],
        *,
        batches: TrainBatches | None = None,
        is_replica: bool = False,
        exit_errors: bool = False,
    ) -> None:
        self.trainer, self.store, self.tell, self.batches, self.is_replica = trainer, store, tell, batches, is_replica
        self.exit_errors = exit_errors
        self.best = Best()
        self.clock = StepClock(interval=CUDA_READ_INTERVAL if trainer.device.type == "cuda" else 1)
        self.losses: tuple[float, ...] = ()
        self.elapsed = 0.0  # seconds of the run up to the checkpoint that it goes on from
        self.epoch_losses = EpochLosses()
        self._last_start = -1
        self._awaits_verdict = False
        self._candidate: Weights | None = None  # the weights that were validated, where training goes on before the verdict
        self._scores: dict[int, ErrorAndLoss] = {}  # of the validation that runs, of each exit that is scored here

    def handle(self, item: Any) -> Any:
        """Do what the item asks for; the item for the next process, or None where it has none for it.

        Raises Diverged where a loss is not finite.
        """
        match item:
            case Step():
                return self._step(item)
            case Answer():
                return self._answer(item)
            case Validating():
                return self._validating(item)
            case Validated():
                return self._validated(item)
            case Verdict():
                self._verdict(item)
            case Save():
                self._save(item)
            case Collect():
                self.tell(Collected(self.trainer.weights(), self.clock.step_seconds if self.clock.seconds else None))
        return item

    def _step(self, item: Step) -> Step | None:
        method, iteration = self.trainer.method, item.iteration
        self._enter(iteration)
        if self._awaits_verdict and self._candidate is None:
            self._candidate = self._weights_now()
        carry, y = item.carry, item.y
        if self.batches is not None:
            carry, y = self.batches.batch(self.trainer.seed, iteration)
        if self.trainer.stages.start == 0:
            carry = method.start(carry, y)
        carry, own = self.trainer.run_stages(carry, y, iteration)
        losses = torch.stack([loss.float() for loss in own])
        if item.losses is not None:
            losses = torch.cat([item.losses, losses])
        if not self.trainer.decides(iteration):
            return Step(iteration, item.reads, carry, y, losses)
        self.clock.add(losses)
        if item.reads or self.clock.due:
            self._read(iteration + 1)
        return None

    def _enter(self, iteration: int) -> None:
        """Where a stage has begun since the last item, in whatever process, the best weights are sought anew."""
        last_start = max(window.start for window in self.trainer.windows if window.start <= iteration)
        if last_start > self._last_start:
            self.best, self._last_start = Best(), last_start

    def _read(self, done: int) -> None:
        """Look at the losses that wait, which are those of the last of `done` iterations; Diverged at the first that is not
        finite."""
        rows = self.clock.read()
        for iteration, row in enumerate(rows, start=done - len(rows)):
            for k, loss in enumerate(row):
                if not math.isfinite(loss):
                    raise Diverged(f"the loss of stage {k} is {loss} at iteration {iteration}; try a smaller lr")
            self.epoch_losses.add(row)
        self.losses = tuple(rows[-1])
        self.tell(Losses(done, self.losses))

    @torch.no_grad()
    def _validating(self, item: Validating) -> Validating:
        method = self.trainer.method
        self._enter(item.iteration)
        self._scores = {exit: ErrorAndLoss() for exit in self._scored(item.iteration)}
        if self._scores:
            copy_weights(method, item.weights)
        method.eval()
        return item._replace(weights=item.weights | self._weights_for_later_exits())

    def _scored(self, iteration: int) -> list[int]:
        """The exits here that a validation after this iteration scores."""
        method, trainer, deepest = self.trainer.method, self.trainer, self._deepest_exit(iteration)
        blocks = [block for k in trainer.stages for block in method.stages[k]]
        return [block for block in blocks if block == deepest or (self.exit_errors and block < deepest)]

    def _deepest_exit(self, iteration: int) -> int:
        """Of the stages that have begun."""
        return self.trainer.method.stages[self.trainer.num_running(iteration) - 1][-1]

    def _weights_for_later_exits(self) -> Weights:
        """What inference runs as the blocks here, apart from the blocks: the logits of a later exit may need it."""
        if self.trainer.is_whole:
            return {}
        method = self.trainer.method
        needed = {
            id(tensor)
            for k in self.trainer.stages
            for block in method.stages[k]
            for module in method.inference_modules(block)
            if module is not method.net.blocks[block]
            for tensor in (*module.parameters(), *module.buffers())
        }
        if not needed:
            return {}
        names = {name for name, tensor in named_tensors(method) if id(tensor) in needed}
        return {name: tensor for name, tensor in self.trainer.weights().items() if name in names}

    @torch.no_grad()
    def _answer(self, item: Answer) -> Answer | None:
        method, trainer, carry = self.trainer.method, self.trainer, item.carry
        deepest = self._deepest_exit(item.iteration)
        with autocast(item.y.device, trainer.settings.precision):
            if trainer.stages.start == 0:
                carry = method.start(carry)
            for block in (block for k in trainer.stages for block in method.stages[k] if block <= deepest):
                carry = method.run_block(block, carry)
                if block in self._scores:
                    self._scores[block].add(method.exit_logits(block, carry), item.y)
        return None if deepest in self._scores else item._replace(carry=carry)

    def _validated(self, item: Validated) -> Validated:
        self.trainer.method.train()
        self.trainer.take_buffers_of_first()
        self._awaits_verdict = True
        found = {exit: score.read() for exit, score in self._scores.items()}
        self._scores = {}
        if self.exit_errors:
            item = item._replace(exit_errors=item.exit_errors + tuple(error for error, _ in found.values()))
        if (deepest := self._deepest_exit(item.iteration)) in found:
            error, loss = found[deepest]
            if not math.isfinite(loss):
                raise Diverged(f"the validation loss is {loss} after iteration {item.iteration}; try a smaller lr")
            self.tell(Judged(error, loss, item.exit_errors, self.epoch_losses.means))
        self.epoch_losses = EpochLosses()
        self.clock.restart()
        return item

    def _verdict(self, item: Verdict) -> None:
        if item.is_best:
            weights = self._weights_now() if self._candidate is None else self._candidate
            self.best = Best(item.error, item.loss, item.iterations, weights)
        self._awaits_verdict, self._candidate = False, None
        if item.restores:
            self.trainer.load_weights(self.best.weights)

    def _weights_now(self) -> Weights:
        return {name: tensor.detach().clone() for name, tensor in self.trainer.weights().items()}

    def _save(self, item: Save) -> None:
        iterations = item.iterations
        self._enter(iterations - 1)
        if self.clock.waits:
            self._read(iterations)
        self.trainer.take_buffers_of_first()
        if not self.is_replica:
            decided = {"losses": self.losses, "seconds": self.clock.seconds, "epoch_losses": vars(self.epoch_losses)}
            self.store.save(
                {
                    "iteration": iterations,
                    "elapsed": item.elapsed,
                    **(decided if self.trainer.decides(iterations - 1) else {}),
                    "best": vars(self.best),
                    "trainer": self.trainer.state_dict(),
                }
            )
            self.tell(Saved(iterations))
        self.clock.restart()

    def load(self, iteration: int) -> None:
        """Go on from the checkpoint of so many iterations."""
        saved, settings = self.store.load(iteration), self.trainer.settings
        decides = self.trainer.decides(iteration - 1)
        known = SAVED | {"iteration": whole(1, settings.iterations)}
        known |= {name: field for name, field in SAVED_HISTORY.items() if name in saved}
        self.store.check_fields(saved, known | SAVED_LOSSES if decides else known)
        if decides and "epoch_losses" in saved:
            self.store.check_fields(saved["epoch_losses"], _sums_of(len(saved["losses"])), within="epoch_losses")
        self.store.check_fields(saved["best"], SAVED_BEST | {"weights": self._best_weights(saved["best"])}, within="best")
        with self.store.damage_told():
            self.trainer.load_state_dict(saved["trainer"])
        self._enter(iteration - 1)
        own = self.trainer.weights().keys()
        weights = {name: tensor for name, tensor in saved["best"]["weights"].items() if name in own}
        self.best = Best(**saved["best"] | {"weights": weights})
        self.elapsed = saved.get("elapsed", math.nan)
        if decides:
            self.losses, self.clock.seconds = tuple(saved["losses"]), saved["seconds"]
            if "epoch_losses" in saved:
                self.epoch_losses = EpochLosses(tuple(saved["epoch_losses"]["sums"]), saved["epoch_losses"]["count"])
            self.tell(Losses(iteration, self.losses, are_new=False))

    def _best_weights(self, best: Mapping[str, Any]) -> Field:
        """Those of the stages here, or none before the first validation."""
        names, known = self.trainer.stage_names(), self.trainer.method.state_dict()

        def holds(held: Any) -> bool:
            if not TENSORS.holds(held) or not held:
                return TENSORS.holds(held) and best.get("error") == math.inf
            fits = all(name in known and tensor.shape == known[name].shape for name, tensor in held.items())
            return fits and names <= held.keys()

        return Field("the method's weights", holds)


def _sums_of(num_losses: int) -> dict[str, Field]:
    """What a checkpoint says of the losses since the last validation: of each stage, or none just after one."""

    def holds(held: Any) -> bool:
        return isinstance(held, list | tuple) and len(held) in (0, num_losses) and all(map(FINITE.holds, held))

    return {"sums": Field(f"a finite number for each of {num_losses} stages, or none", holds), "count": COUNT}
