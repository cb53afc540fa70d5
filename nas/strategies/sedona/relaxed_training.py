"""Plain training of the relaxed network: what fills the weight memory, and goes on between two meta-steps."""

from __future__ import annotations

import math

import torch

from methods.training.diverged import Diverged
from methods.training.optimization import cosine, sgd
from methods.training.scoring import autocast
from methods.training.settings import Precision
from methods.training.trainer import stage_seed
from nas.data.task_data import Batches
from nas.problem import Problem
from nas.strategies.sedona.bilevel import Batch, Objective
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from spaces.heads import HEADS
from spaces.notation.errors import UserError

MOMENTUM = 0.9
CUDA_READ_INTERVAL = 50  # steps between two looks at the loss, as each look waits for the GPU; nan stays nan meanwhile


class RelaxedTraining:
    """The relaxation of a problem's space, its optimizer and its batches.

    `lr` falls along a cosine over `pretrain` steps to a hundredth and stays there. Forward passes are in bfloat16 where the
    training settings say so, else in float32; their `class_batches` are for what is trained once the search has found it, and
    `compile` is refused. A step is seeded by its number, so that training
    continues to the bit.
    """

    def __init__(self, problem: Problem, objective: Objective, lr: float, pretrain: int) -> None:
        self.seed, self.device, self.lr, self.pretrain = problem.seed, problem.device, lr, pretrain
        space, settings = problem.space, problem.settings
        if settings.compile != "no":
            raise UserError(
                "sedona differentiates its training steps once more, which torch.compile cannot; leave --compile "
                "out, and give it to the evaluate command for what is found"
            )
        torch.manual_seed(problem.seed)
        backbone = space.build_backbone()
        candidates = [[HEADS.build(head, space.site(gap, backbone)) for head in space.heads] for gap in space.gaps]
        self.relaxation = Relaxation(backbone, space.gaps, candidates)
        self.relaxation.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.relaxation.train()
        self.optimizer = sgd(self.relaxation.parameters(), lr, settings.weight_decay, momentum=MOMENTUM)
        self.batches = problem.data.train_batches(settings.batch_size)
        self._rule = Relaxation.inner_loss if objective == "validation" else Relaxation.released_inner_loss
        self._precision: Precision = "bf16" if settings.precision == "bf16" else "fp32"
        self._schedule = cosine()
        self._last_loss = math.nan

    def set_lr(self, step: int) -> None:
        """The learning rate of weights that have had `step` steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self._schedule(min(1.0, step / self.pretrain))

    def step(self, architecture: Architecture, step: int, batch: Batch, *, seed: int) -> float:
        """One step of weights that have had `step`: the loss before it, on a GPU the one last read. Diverged where it is
        not finite."""
        self.set_lr(step)
        torch.manual_seed(seed)
        with autocast(self.device, self._precision):
            loss = self._rule(self.relaxation, *batch, architecture)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type != "cuda" or step % CUDA_READ_INTERVAL == 0:
            self._last_loss = loss.item()
            if not math.isfinite(self._last_loss):
                raise Diverged(f"the inner loss is {self._last_loss} at step {step}; try a smaller sedona(lr=...)")
        return self._last_loss


def outer_batches(problem: Problem, size: int) -> Batches:
    """Validation batches of that many samples, at most the whole split, as they are."""
    data = problem.data
    return data.random_batches(data.validation, min(size, len(data.validation)))


def step_seed(seed: int, step: int, stream: int) -> int:
    """The seed of one of the things that a step of a search draws."""
    return stage_seed(seed, step, stream)
