"""Everything that says how a run trains, beside its method, its network and its data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from methods.training.class_limit import CLASS_LIMITS, ClassLimit
from methods.training.growth import GROWTHS
from methods.training.optimization import OPTIMIZERS, SCHEDULES
from spaces.notation.errors import UserError, unknown
from spaces.notation.limits import check_size

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Compile = Literal["no", "default", "reduce-overhead"]


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how a run trains. Components are stored with all their defaults filled in.

    iterations        optimizer steps of each stage, which `grow` parts among them
    batch_size        images a step; an incomplete last batch of an epoch is dropped
    lr                learning rate before the schedule's factor
    weight_decay      L2 weight decay
    optimizer         sgd(momentum=0.9) or adam(beta1=0.9); one instance a stage
    schedule          cosine(warmup=0.1), warmed_cosine(warmup=0.1) or multistep(milestones=[0.5,0.75]); follows iterations, not
                      epochs
    precision         fp32, or autocast to bf16, or to fp16 with loss scaling; tf32 is fp32 with a GPU's TensorFloat32 in
                      convolutions and products (`nas.device`)
    deterministic     on a GPU, equal seeds give equal bits; None: not asked for
    checkpoint_units  keep only the units' inputs for the backward pass and compute the rest again
    compile           make one graph of each stage's training step (`compilation.py`); reduce-overhead adds CUDA graphs
    class_batches     classes(num=20,until=0.5): batches of the first half hold 20 classes each; None: no limit
    replicas          of each stage, which average gradients, each on its share of a batch; None: one
    grow              frozen(starts=[0,0.5]) or training(...): stages begin one after the other; None: all at once
    """

    iterations: int = 1000
    batch_size: int = 128
    lr: float = 0.1
    weight_decay: float = 1e-4
    optimizer: str = "sgd"
    schedule: str = "cosine"
    precision: Precision = "fp32"
    checkpoint_units: bool = False
    compile: Compile = "no"
    class_batches: str | None = None
    grow: str | None = None
    deterministic: bool | None = None
    replicas: int | None = field(default=None, repr=False)  # what names a checkpoint stays as it was

    def __post_init__(self) -> None:
        object.__setattr__(self, "deterministic", self.deterministic or None)  # rows from before have no such cell
        object.__setattr__(self, "replicas", None if self.replicas == 1 else self.replicas)
        for name, lowest in (("iterations", 1), ("batch_size", 2)):
            if getattr(self, name) < lowest:
                raise UserError(f"{name} is a whole number from {lowest} on, got {getattr(self, name)}")
            check_size(name, name, getattr(self, name))
        if not 0 < self.lr < math.inf or not 0 <= self.weight_decay < math.inf:
            raise UserError(f"lr is a number above 0 and weight_decay one from 0 on, got {self.lr} and {self.weight_decay}")
        if self.replicas is not None and self.batch_size % self.replicas:
            raise UserError(
                f"replicas have equal shares of a batch, got a batch size of {self.batch_size} for {self.replicas} of them; "
                "give a multiple"
            )
        for name, choices in (("precision", get_args(Precision)), ("compile", get_args(Compile))):
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        if self.checkpoint_units and self.compile != "no":
            raise UserError(
                "torch's compiler decides itself what is computed again, got checkpoint_units and "
                f"compile={self.compile}; leave one of them out"
            )
        object.__setattr__(self, "optimizer", str(OPTIMIZERS.resolve(self.optimizer)))
        object.__setattr__(self, "schedule", str(SCHEDULES.resolve(self.schedule)))
        if self.class_batches is not None:
            object.__setattr__(self, "class_batches", str(CLASS_LIMITS.resolve(self.class_batches)))
        if self.grow is not None:
            object.__setattr__(self, "grow", str(GROWTHS.resolve(self.grow)))
        _ = SCHEDULES.build(self.schedule), self.class_limit  # refuse values that do not hold

    @property
    def class_limit(self) -> ClassLimit | None:
        """What `class_batches` means for so many iterations."""
        return None if self.class_batches is None else CLASS_LIMITS.build(self.class_batches, self.iterations)
