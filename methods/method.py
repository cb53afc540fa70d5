"""What a method is: its stages, one a block. Gradients never join two, because the carry is detached here and only here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from methods.losses import smoothed_cross_entropy
from spaces.activation import Activation
from spaces.decoupling import Decoupling
from spaces.memory.in_place import versions
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError

Carry = Any  # an activation, or a tuple of tensors: what a stage hands to the next
Stage = Callable[[Carry, torch.Tensor], tuple[Carry, torch.Tensor]]  # `Method.stage` for one k


class Method(nn.Module, ABC):
    """A learning rule for a decoupled network; stage k trains block k and head k, or the one stage trains all of them.

    `stage`, `isolated_stage`, `stage_modules`, `stage_parameters` and `reads` are given the index of a stage, `run_block`,
    `head_input`, `answer` and `inference_modules` that of a block.
    Settings that a user may give are the keyword-only arguments of `__init__`.
    """

    default_head: ClassVar[str | None] = None
    """The head that a cut gets where the decoupling names none. None: cuts have no use either; `none`: only heads have none."""

    answer_range: tuple[float, float] | None = None  # in which exits' outputs lie where they are no logits but bounded

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 0.5:
            raise UserError(f"label_smoothing is the target's share of the wrong classes, in [0, 0.5], but {label_smoothing} "
                            "came; 0 is plain cross-entropy")
        self.net = net
        self.label_smoothing = label_smoothing
        self.lookaheads = nn.ModuleList(nn.Identity() for _ in net.blocks)

    head_lookahead: ClassVar[int] = 0
    """How many units behind its cut a head's input lies; 0 where heads are given the block's own output."""

    @classmethod
    def adapt(cls, decoupling: Decoupling, **settings: Any) -> Decoupling:
        """The decoupling that this method, with these settings, trains when `decoupling` is asked for."""
        return decoupling

    @classmethod
    def answers_early(cls, **settings: Any) -> bool:
        """Whether, with these settings, every exit gives logits and not only the last."""
        return True

    @classmethod
    def learns_jointly(cls, **settings: Any) -> bool:
        """Whether, with these settings, all blocks are one stage, in which gradients cross the cuts."""
        return False

    @property
    def num_stages(self) -> int:
        """K: what no gradient joins."""
        return self.net.num_blocks

    def stage_blocks(self, k: int) -> range:
        """The blocks that stage k trains. The stages' blocks are all blocks, in order."""
        return range(k, k + 1)

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """What the first stage is given, for inputs x (N, *input_shape), or token ids (N, T), and
        labels y (N,), None at inference."""
        return x

    def run_block(self, k: int, carry: Carry) -> Carry:
        """Block k with what inference runs before it: the carry that it hands on. No head, no loss."""
        return self.net.blocks[k](carry)

    def activation(self, carry: Carry) -> Activation:
        """The activation in the carry that a block hands on."""
        return carry

    def replaced(self, carry: Carry, h: Activation) -> Carry:
        """The carry with h for its activation, and all else untouched."""
        return h

    def head_input(self, k: int, carry: Carry) -> Activation:
        """What head k and all that learns beside it are given, of `net.head_shapes[k]`: the activation in the carry that
        block k hands on, through what a method such as MAN has put between the two."""
        return self.lookaheads[k](self.activation(carry))

    @abstractmethod
    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Run the blocks of stage k on the carry: the carry for stage k + 1, and the stage's scalar local loss."""

    def isolated_stage(self, k: int, carry: Carry, y: torch.Tensor, *,
                       compiled: Stage | None = None) -> tuple[Carry, torch.Tensor]:
        """`stage`, or what it was compiled to, on a carry that gradients do not cross.

        Detached tensors share their memory with those that others hold, so a stage that writes into them, past the copies
        that `SearchSpace.build` gives to blocks, is a UserError.
        """
        before, stage = versions(carry), compiled or partial(self.stage, k)
        following = stage(tree_map_only(torch.Tensor, torch.Tensor.detach, carry), y)
        if versions(carry) != before:
            raise UserError(f"a stage leaves what it is given as it was, since others read it too, but stage {k} of "
                            f"{type(self).__name__} wrote into it; compute out of place, or on a clone()")
        return following

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> Iterator[torch.Tensor]:
        """The K local losses, lazily: call `backward` on each before asking for the next, and only one stage's
        activations are alive at a time."""
        carry = self.start(x, y)
        for k in range(self.num_stages):
            carry, loss = self.isolated_stage(k, carry, y)
            yield loss

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape), or token ids (N, T), -> logits (N, classes) of the whole network; auxiliary heads do not run."""
        return self.exit(self.net.num_blocks - 1, x)

    def exit(self, k: int, x: torch.Tensor) -> torch.Tensor:
        """The logits (N, classes) of exit k; what is behind it and the answers before it do not run."""
        carry = self.start(x)
        for block in range(k + 1):
            carry = self.run_block(block, carry)
        return self.answer(k, carry)

    def exits(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The logits (N, classes) after each block, lazily; the last are those of `forward`."""
        carry = self.start(x)
        for k in range(self.net.num_blocks):
            carry = self.run_block(k, carry)
            yield self.answer(k, carry)

    def answer(self, k: int, carry: Carry) -> torch.Tensor:
        """The logits (N, classes) of exit k, from the carry that block k hands on; those of the last are the network's."""
        return self.net.heads[k](self.head_input(k, carry))

    def inference_modules(self, k: int) -> list[nn.Module]:
        """What inference runs as block k, beside the classifier."""
        return [self.net.blocks[k]]

    def stage_modules(self, k: int) -> list[nn.Module]:
        """All whose parameters and buffers belong to stage k, the `inference_modules` of its blocks among them."""
        return [module for block in self.stage_blocks(k)
                for module in (*self.inference_modules(block), self.lookaheads[block], self.net.heads[block])]

    def stage_parameters(self, k: int) -> list[nn.Parameter]:
        """What stage k's own optimizer updates."""
        return [parameter for module in self.stage_modules(k) for parameter in module.parameters() if parameter.requires_grad]

    def reads(self, k: int) -> tuple[int, ...]:
        """The other stages whose weights stage k reads in training. Where there are any, it cannot train apart from them."""
        return ()

    def cross_entropy(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy with this method's label smoothing. Outputs that are no logits, one a class, are a UserError."""
        if logits.shape[-1] != self.net.num_classes:
            raise UserError(f"cross-entropy takes {self.net.num_classes} logits, one a class, but {logits.shape[-1]} "
                            "numbers came; a head with embedding=True is for infopro and contsup with loss=contrast")
        return smoothed_cross_entropy(logits, y, self.label_smoothing)
