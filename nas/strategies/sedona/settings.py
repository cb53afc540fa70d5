"""The settings of a SEDONA search, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from nas.strategies.sedona.bilevel import Objective
from spaces.notation.errors import UserError

COUNTS = {
    "pretrain": 1,
    "meta_steps": 1,
    "inner_steps": 1,
    "inner_batch": 2,
    "sample_gaps": 1,
    "sample_heads": 2,
    "outer_batch": 2,
    "memory": 1,
}  # the fewest
RATES = ("lr", "meta_lr", "disk_gb")
WEIGHTS = ("memory_weight", "time_weight")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a search may be told; the defaults are the released code's. A UserError where a value cannot be.

    pretrain       iterations that fill the weight memory, at alpha = beta = 0; done once for all searches that share them
    meta_steps     outer steps; in each, `inner_steps` training steps (T) from weights of the memory are differentiated
    inner_steps    T, training steps in each outer step
    engine         adjoint: exact, in the memory of one step. identity: without second derivatives, approximate, faster.
                   unroll: exact, the reference, memory grows with T
    objective      validation: the outer gradient is of the validation loss, as in the paper. train: of the last inner
                   training loss, which is what the released code differentiates, and so where the published alphas are
                   from; it also switches the inner rule, in pretraining and search, to the released
                   code's, s head(h / s) with s = 1 / a_j0 for each head (4.3), and takes one inner step less
    meta_precision bf16: the forward passes of the meta-steps under autocast; None for float32. Pretraining is in the training
                   settings' precision
    sample_gaps    how many gaps' local losses each differentiated step goes back through, drawn anew; None for all. The
                   steps are taken with all, and the gradient is right on average
    sample_heads   the same of the heads of each gap, at least 2
    inner_batch    training images an inner step; None for the training settings' batch size
    shares         conditioned: gaps are cut to the degree that they are in the space's own decouplings, so that its K and its
                   smallest block hold while alpha learns. independent: by softmax(alpha)
                   alone, as in SEDONA, where one search serves every K; the same where the space allows all sets of cuts
    outer_batch    validation images an outer step (paper: 1024), at most the whole validation split
    memory         snapshots held (paper: 50), as files below the folder of unfinished runs
    eviction       what a full memory drops: the oldest, or the worst by validation loss
    lr             inner learning rate, a cosine over pretraining from lr to lr / 100
    meta_lr        of Adam (0.5, 0.999) on alpha and beta, weight decay 1e-6
    memory_weight  nats of validation loss that the expected largest block's activation memory is worth, where 1 is the
                   memory of the uncut network
    time_weight    the same of the largest block's seconds a step
    disk_gb        a search whose snapshots could take more is refused
    """

    pretrain: int = 40_000
    meta_steps: int = 2_000
    inner_steps: int = 5
    engine: Literal["adjoint", "identity", "unroll"] = "adjoint"
    objective: Objective = "validation"
    shares: Literal["conditioned", "independent"] = "conditioned"
    meta_precision: Literal["bf16"] | None = None
    sample_gaps: int | None = None
    sample_heads: int | None = None
    inner_batch: int | None = None
    outer_batch: int = 1024
    memory: int = 50
    eviction: Literal["oldest", "worst"] = "oldest"
    lr: float = 0.1
    meta_lr: float = 0.01
    memory_weight: float = 0.0
    time_weight: float = 0.0
    disk_gb: float = 20.0

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, fewest in COUNTS.items():
            if given[name] is not None and given[name] < fewest:
                raise UserError(f"sedona's {name} is a whole number from {fewest} on, got {given[name]}")
        if self.engine == "unroll" and (self.sample_gaps or self.sample_heads):
            raise UserError(
                "sedona's engine=unroll is exact, got sample_gaps or sample_heads; leave them out, or take engine=adjoint"
            )
        for name in RATES:
            if not 0 < given[name] < math.inf:
                raise UserError(f"sedona's {name} is a number above 0, got {given[name]}")
        for name in WEIGHTS:
            if not 0 <= given[name] < math.inf:
                raise UserError(f"sedona's {name} is a number from 0 on, where 0 ignores that cost, got {given[name]}")
