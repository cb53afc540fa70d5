"""The one training loop: a stage at a time, backward before the next stage begins, one optimizer and one window a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional as F

from methods.method import Method
from methods.training.checkpoint import Checkpoint
from methods.training.compilation import compile_stage
from methods.training.diverged import Diverged
from methods.training.growth import stage_windows
from methods.training.interruption import Interruptions
from methods.training.optimization import OPTIMIZERS, SCHEDULES, load_optimizer
from methods.training.saved_fields import COUNT, FINITE, MAPPING, POSITIVE, TENSORS, Field, whole
from methods.training.settings import Precision, TrainingSettings
from methods.training.step_clock import StepClock

Batch = tuple[torch.Tensor, torch.Tensor]  # x (N, *input_shape) float32 on the training device, y (N,) int64
CUDA_READ_INTERVAL = 50  # iterations between two looks at the losses on a GPU, each of which waits for it


class TrainBatches(Protocol):
    """What the loop trains on. A batch is a function of (seed, iteration) alone, so there is no state to save."""

    num_batches: int  # an epoch's

    def batch(self, seed: int, iteration: int) -> Batch: ...


@dataclass(frozen=True)
class Progress:
    """Where a run stands: losses of `iteration`, one a stage that runs; the validation error where it was just measured."""

    iteration: int
    iterations: int
    losses: tuple[float, ...]
    validation_error: float | None = None


@dataclass
class Best:
    """The weights with the lowest validation error since the last stage began; the earlier of equals."""

    error: float = math.inf
    loss: float = math.inf
    iteration: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


SAVED = {
    "losses": FINITE.listed("a finite number each"),
    "seconds": POSITIVE.listed("a number above 0 each"),
    "best": MAPPING,
    "trainer": MAPPING,
}
SAVED_BEST = {
    "error": Field("a number", lambda held: type(held) in (int, float)),
    "loss": Field("a number", lambda held: type(held) in (int, float)),
    "iteration": COUNT,
}


@dataclass(frozen=True)
class Trained:
    """A finished run: `method` holds the best weights by validation error (a share in 0..1), never by test error."""

    method: Method
    validation_error: float
    validation_loss: float
    best_iteration: int
    train_loss: float
    step_seconds: float


def train(
    method: Method,
    batches: TrainBatches,
    validation: Callable[[], Iterator[Batch]],
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    trained_stages: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train every stage of `method` in its window of `settings.iterations`; validate after each epoch and where windows
    begin and end.

    The deepest exit that has begun is what is validated. Where a window ends, the method goes back to the weights that were
    best since the last stage began, so a later stage learns from the best of a frozen one. The first `trained_stages`, those
    of a run that is extended, stay as they are.
    Randomness inside a stage (dropout) is seeded by (seed, iteration, stage), so that a run continues from
    `checkpoint` to the bit after any interruption and a stage computes the same wherever it runs. A signal that ends the
    program does so after the iteration that runs, whose state is saved.
    Raises Diverged when a loss is not finite.
    """
    trainer = Trainer(method, settings, seed=seed, device=device, trained_stages=trained_stages)
    clock = StepClock(interval=CUDA_READ_INTERVAL if device.type == "cuda" else 1)
    best, start, losses = Best(), 0, (math.nan,) * method.num_stages
    starts, ends = map(set, zip(*trainer.windows, strict=True))
    store = Checkpoint(checkpoint, described=f"{settings} seed={seed}")
    if (saved := store.load(device)) is not None:
        store.check_fields(saved, SAVED | {"iteration": whole(1, settings.iterations)})
        store.check_fields(saved["best"], SAVED_BEST | {"weights": _best_weights(method, saved["best"])}, within="best")
        with store.damage_told():
            trainer.load_state_dict(saved["trainer"])
        start, losses, best = saved["iteration"], tuple(saved["losses"]), Best(**saved["best"])
        clock.seconds = saved["seconds"]
    with Interruptions() as interruptions:
        for iteration in range(start, settings.iterations):
            if iteration in starts:
                best = Best()
            x, y = batches.batch(seed, iteration)
            clock.add(trainer.step(x, y, iteration))
            done = iteration + 1
            validates = done % batches.num_batches == 0 or done in starts | ends
            stops = interruptions.pending
            saves = store.due(force=validates or stops)
            if validates or saves or clock.due:
                losses = _last_finite(clock.read(), done)
                report(Progress(done, settings.iterations, losses))
            if validates:
                error, loss = error_and_loss(method, validation(), settings.precision, trainer.deepest_exit(iteration))
                if not math.isfinite(loss):
                    raise Diverged(f"the validation loss is {loss} after iteration {iteration}; try a smaller lr")
                if error < best.error:
                    weights = {name: tensor.detach().clone() for name, tensor in method.state_dict().items()}
                    best = Best(error, loss, done, weights)
                if done in ends:
                    method.load_state_dict(best.weights)
                report(Progress(done, settings.iterations, losses, error))
                clock.restart()
            if saves:
                store.save(
                    {
                        "iteration": done,
                        "losses": losses,
                        "seconds": clock.seconds,
                        "best": vars(best),
                        "trainer": trainer.state_dict(),
                    }
                )
                clock.restart()
            if saves or stops:
                interruptions.deliver()
    return Trained(method, best.error, best.loss, best.iteration, sum(losses) / len(losses), clock.step_seconds)


class Trainer:
    """The optimizers, the schedule, the windows and the precision of one run; `step` is one iteration of every stage."""

    def __init__(
        self, method: Method, settings: TrainingSettings, *, seed: int, device: torch.device, trained_stages: int = 0
    ) -> None:
        self.method = method.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method.train()
        self.settings, self.seed, self.device = settings, seed, device
        self.windows = stage_windows(settings.grow, method.num_stages, settings.iterations, trained=trained_stages)
        self.schedule = SCHEDULES.build(settings.schedule)
        # The device's own generator: torch.manual_seed, which looks for every kind of device, takes a hundred times as long.
        self.generator = torch.default_generator
        if device.type == "cuda":
            torch.cuda.init()
            self.generator = torch.cuda.default_generators[device.index or 0]
        self.optimizers = [
            OPTIMIZERS.build(settings.optimizer, method.stage_parameters(k), settings.lr, settings.weight_decay)
            for k in range(method.num_stages)
        ]
        self.scalers = [torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16") for _ in self.optimizers]
        self.compiled = [
            None if settings.compile == "no" else compile_stage(method, k, settings.compile) for k in range(method.num_stages)
        ]

    def step(self, x: torch.Tensor, y: torch.Tensor, iteration: int) -> list[torch.Tensor]:
        """Run each stage that has begun on the batch, in order; their losses stay on the device."""
        losses = []
        carry = self.method.start(x, y)
        for k in range(self.num_running(iteration)):
            carry, loss = self.stage_step(k, carry, y, iteration)
            losses.append(loss)
        return losses

    def num_running(self, iteration: int) -> int:
        """How many stages have begun."""
        return sum(window.start <= iteration for window in self.windows)

    def deepest_exit(self, iteration: int) -> int | None:
        """The exit of the last stage that has begun; None for the whole network."""
        running = self.num_running(iteration)
        return running - 1 if running < self.method.num_stages else None

    def stage_step(self, k: int, carry: Any, y: torch.Tensor, iteration: int) -> tuple[Any, torch.Tensor]:
        """Forward, backward and update of stage k alone: its carry for the next stage, and its detached loss.

        The carry was computed before the update, so the stages may as well run side by side, each on its own device.
        A stage whose window is over only runs, in evaluation mode.
        """
        start, end = self.windows[k]
        if iteration >= end:
            return self._frozen_stage(k, carry, y)
        optimizer, scaler = self.optimizers[k], self.scalers[k]
        for group in optimizer.param_groups:
            group["lr"] = self.settings.lr * self.schedule((iteration + 1 - start) / (end - start))
        self.generator.manual_seed(stage_seed(self.seed, iteration, k))
        with autocast(self.device, self.settings.precision):
            carry, loss = self.method.isolated_stage(k, carry, y, compiled=self.compiled[k])
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return carry, loss.detach()

    @torch.no_grad()
    def _frozen_stage(self, k: int, carry: Any, y: torch.Tensor) -> tuple[Any, torch.Tensor]:
        for module in self.method.stage_modules(k):
            module.eval()  # each time, since `error_and_loss` leaves the whole method in training mode
        with autocast(self.device, self.settings.precision):
            return self.method.isolated_stage(k, carry, y, compiled=self.compiled[k])

    def state_dict(self) -> dict[str, Any]:
        """All that changes in training."""
        return {
            "method": self.method.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scalers": [scaler.state_dict() for scaler in self.scalers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; what is of another method or optimizer raises."""
        self.method.load_state_dict(state["method"])
        for own, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(own, saved)
        for scaler, saved in zip(self.scalers, state["scalers"], strict=True):
            scaler.load_state_dict(saved)


def _best_weights(method: Method, best: dict[str, Any]) -> Field:
    """Those of the method, or none before the first validation."""
    shapes = {name: tensor.shape for name, tensor in method.state_dict().items()}
    return Field(
        "the method's weights",
        lambda held: (
            TENSORS.holds(held)
            and (shapes == {name: tensor.shape for name, tensor in held.items()} if held else best.get("error") == math.inf)
        ),
    )


def check_finite(loss: float, k: int, iteration: int) -> None:
    """Raise Diverged unless the loss of stage k is finite."""
    if not math.isfinite(loss):
        raise Diverged(f"the loss of stage {k} is {loss} at iteration {iteration}; try a smaller lr")


def _last_finite(rows: list[list[float]], done: int) -> tuple[float, ...]:
    """The last of the rows, which are those of the last of `done` iterations; Diverged at the first loss that is not finite."""
    for iteration, row in enumerate(rows, start=done - len(rows)):
        for k, loss in enumerate(row):
            check_finite(loss, k, iteration)
    return tuple(rows[-1])


def stage_seed(seed: int, iteration: int, k: int) -> int:
    """A seed of its own for every stage of every iteration of every run, up to 4099 stages and a million iterations."""
    return ((seed * 1_000_003 + iteration) * 4_099 + k) % 2**63


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The precision of a forward pass."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


@torch.no_grad()
def error_and_loss(
    method: Method, batches: Iterator[Batch], precision: Precision, exit: int | None = None
) -> tuple[float, float]:
    """The share of wrong answers and the mean cross-entropy (no smoothing), in evaluation mode.

    Of exit k = `exit`, whose later blocks do not run, or of the whole network. The sums stay on the device until the end.
    """
    training, count, sums = method.training, 0, torch.zeros(())
    method.eval()
    for x, y in batches:
        with autocast(y.device, precision):
            logits = (method(x) if exit is None else method.exit(exit, x)).float()
        wrong = (logits.argmax(1) != y).sum()
        sums = sums.to(y.device) + torch.stack([wrong, F.cross_entropy(logits, y, reduction="sum")]).double()
        count += len(y)
    method.train(training)
    wrong_share, loss = (sums / count).tolist()
    return wrong_share, loss
