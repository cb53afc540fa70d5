"""A method around another one, which learns as before where the wrapper says nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from methods.method import Carry, Method, traits_of
from methods.traits import Traits
from spaces.notation.nested import Nested


class WrappedMethod(Method):
    """Forwards every member of `Method` to `base`; a subclass overrides what it changes.

    Its exits are thus those of the base, by whichever way they are asked for, also where the base has its own `exit_logits`.
    The base's tensors keep their names below `base`: `wrapped.base.load_state_dict` takes those of a run without the wrapper.
    A wrapper that users name takes the base as a setting, `base: Nested[Method]`, and gives `base.build(net)` to `__init__`.
    """

    def __init__(self, base: Method) -> None:
        nn.Module.__init__(self)
        self.base = base
        for name, shared in (("net", base.net), ("lookaheads", base.lookaheads)):
            object.__setattr__(self, name, shared)  # their tensors are registered once, as the base's
        self.label_smoothing = base.label_smoothing

    @classmethod
    def traits(cls, *, base: Nested[Method] | None = None, **settings: Any) -> Traits:
        """Those of the base, which is a setting."""
        assert base is not None, "the table binds the setting base"
        return traits_of(base)

    @property
    def logit_range(self) -> tuple[float, float] | None:  # type: ignore[override]
        """As the wrapped method has it."""
        return self.base.logit_range

    @property
    def stages(self) -> tuple[range, ...]:
        """As the wrapped method has them."""
        return self.base.stages

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """The carry that the wrapped method begins with."""
        return self.base.start(x, y)

    def run_block(self, k: int, carry: Carry) -> Carry:
        """Run block k of the wrapped method."""
        return self.base.run_block(k, carry)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Run stage k of the wrapped method; its carry and its loss."""
        return self.base.stage(k, carry, y)

    def exit_logits(self, k: int, carry: Carry) -> torch.Tensor:
        """The logits (N, classes) of the base."""
        return self.base.exit_logits(k, carry)

    def inference_modules(self, k: int) -> list[nn.Module]:
        """As the wrapped method has them."""
        return self.base.inference_modules(k)

    def stage_modules(self, k: int) -> list[nn.Module]:
        """As the wrapped method has them."""
        return self.base.stage_modules(k)

    def reads(self, k: int) -> tuple[int, ...]:
        """As the wrapped method has them."""
        return self.base.reads(k)

    def cross_entropy(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """As the wrapped method has it."""
        return self.base.cross_entropy(logits, y)
