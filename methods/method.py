"""What a method is: its stages, one a block. Gradients never join two, because the carry is detached here and only here."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, final

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from methods.losses import smoothed_cross_entropy
from methods.traits import Traits
from spaces.activation import Activation
from spaces.memory.in_place import versions
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError
from spaces.notation.nested import Nested

Carry = Any  # a NamedTuple with a field `h`, an activation; its other fields are tensors, activations, tuples of them or None
Stage = Callable[[Carry, torch.Tensor], tuple[Carry, torch.Tensor]]  # `Method.stage` for one k


class PlainCarry(NamedTuple):
    """The carry of a method that hands on an activation and nothing else: (N, C, H, W), (N, D), or `Tokens`."""

    h: Activation


# Members that methods had in earlier versions, which would have no effect now, and what takes their place.
FORMER = {
    "answer": "exit_logits",
    **dict.fromkeys(("default_head", "head_lookahead", "answers_early", "learns_jointly", "adapt"), "traits"),
}


class Method(nn.Module, ABC):
    """A learning rule for a decoupled network. Stage k trains block k and head k; with `Traits.end_to_end` one stage trains all.

    The smallest method, local cross-entropy at every head:

        class Local(Method):
            @classmethod
            def traits(cls, **settings):
                return Traits(default_head="linear")

            def stage(self, k, carry, y):
                carry = self.run_block(k, carry)
                return carry, self.output_loss(self.net.heads[k](self.head_input(k, carry)), y)

    Settings that a user may give are the keyword-only arguments of `__init__`, with types and defaults; wrong values are a
    `UserError`. The first argument is the network: `net.blocks[k]`, `net.heads[k]` (the last is the classifier), `net.shapes[k]`
    of what block k is given, `net.head_shapes[k]` of what head k is given, `net.num_classes`.

    What a method may say, beside `stage`, which it must:
      traits              before it is built: its heads, whether its exits give logits, whether it learns end to end
      start               the carry that the first stage is given, where it holds more than the input
      run_block           what block k computes, in training and at inference
      exit_logits         the logits of exit k, where they are not those of head k
      logit_range         where these lie, if they are bounded
      inference_modules   modules of its own that inference runs as block k
      stage_modules       modules of its own that train with stage k
      reads               the other stages whose weights stage k reads
      stages              the blocks of each stage, where these are not one a block
      cross_entropy       the loss of logits, where users give none of their own
    All else is derived from these, is the same for every method and cannot be overridden, so the logits of an exit are the same
    in training, in the test error, in ensembles, in adaptive inference and in predictions. A method around another one is a
    `methods.wrapped.WrappedMethod`.

    `stage`, `isolated_stage`, `stage_modules`, `stage_parameters` and `reads` are given the index of a stage, `run_block`,
    `head_input`, `exit_logits` and `inference_modules` that of a block.
    """

    logit_range: tuple[float, float] | None = None
    """In which all exits' outputs lie where they are no logits but bounded; None for true logits."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls):
            if is_derived(inspect.getattr_static(Method, name, None)):
                raise UserError(
                    f"{name} of a method follows from its other members, got one of {cls.__name__}'s own; give "
                    "exit_logits, run_block or stage in its place"
                )
            if name in FORMER:
                raise UserError(f"a method says what it is in {FORMER[name]}, got {name} of {cls.__name__}; give that instead")

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 0.5:
            raise UserError(
                f"label_smoothing is the target's share of the wrong classes, in [0, 0.5], got {label_smoothing}; "
                "0 is plain cross-entropy"
            )
        self.net = net
        self.label_smoothing = label_smoothing
        self.lookaheads = nn.ModuleList(nn.Identity() for _ in net.blocks)

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """What is known of the method with all its settings, by name, before it is built."""
        return Traits()

    @property
    def stages(self) -> tuple[range, ...]:
        """The blocks that each stage trains: all blocks, in order."""
        return tuple(range(k, k + 1) for k in range(self.net.num_blocks))

    @property
    @final
    def num_stages(self) -> int:
        """How many stages there are: parts of the network that no gradient joins."""
        return len(self.stages)

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """The carry that the first stage is given, for inputs x (N, *input_shape), or token ids (N, T), and labels y int64 (N,),
        None at inference. Called once a batch."""
        return PlainCarry(x)

    def run_block(self, k: int, carry: Carry) -> Carry:
        """Block k, from the carry of block k - 1 to the one that it hands on, with what inference runs before it. No head, no
        loss. Called by `stage` in training, and for every block up to an exit at inference."""
        return carry._replace(h=self.net.blocks[k](carry.h))

    @final
    def head_input(self, k: int, carry: Carry) -> Activation:
        """What head k and all that learns beside it are given, of `net.head_shapes[k]`: the activation in the carry that
        block k hands on, through what a method such as MAN has put between the two."""
        return self.lookaheads[k](carry.h)

    @abstractmethod
    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Run the blocks of stage k on the carry: the carry for stage k + 1, and the stage's scalar local loss.

        Called once an iteration and stage, in order, by `isolated_stage`; backward and the update of the stage follow before
        the next stage is called. The carry is detached, and has to be left as it was.
        """

    @final
    def isolated_stage(
        self, k: int, carry: Carry, y: torch.Tensor, *, compiled: Stage | None = None
    ) -> tuple[Carry, torch.Tensor]:
        """`stage`, or what it was compiled to, on a carry that gradients do not cross.

        Detached tensors share their memory with those that others hold, so a stage that writes into them, past the copies
        that `SearchSpace.build` gives to blocks, is a UserError, as is one that hands on what is no carry.
        """
        before, stage = versions(carry), compiled or partial(self.stage, k)
        following = stage(tree_map_only(torch.Tensor, torch.Tensor.detach, carry), y)
        if versions(carry) != before:
            raise UserError(
                f"a stage leaves what it is given as it was, since others read it too, but stage {k} of "
                f"{type(self).__name__} wrote into it; compute out of place, or on a clone()"
            )
        if not hasattr(following[0], "h"):
            raise UserError(
                f"a stage hands on a carry, a NamedTuple with a field h, got a {type(following[0]).__name__} of "
                f"stage {k} of {type(self).__name__}; hand on what run_block gives"
            )
        return following

    @final
    def losses(self, x: torch.Tensor, y: torch.Tensor) -> Iterator[torch.Tensor]:
        """The K local losses, lazily: call `backward` on each before asking for the next, and only one stage's
        activations are alive at a time."""
        carry = self.start(x, y)
        for k in range(self.num_stages):
            carry, loss = self.isolated_stage(k, carry, y)
            yield loss

    @final  # type: ignore[misc]  # torch declares an attribute
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape), or token ids (N, T), -> logits (N, classes) of the whole network; auxiliary heads do not run."""
        return self.exit(self.net.num_blocks - 1, x)

    @final
    def exit(self, k: int, x: torch.Tensor) -> torch.Tensor:
        """The logits (N, classes) of exit k; what is behind it and the exits before it do not run."""
        carry = self.start(x)
        for block in range(k + 1):
            carry = self.run_block(block, carry)
        return self.exit_logits(k, carry)

    @final
    def exits(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The logits (N, classes) after each block, lazily; the last are those of `forward`."""
        carry = self.start(x)
        for k in range(self.net.num_blocks):
            carry = self.run_block(k, carry)
            yield self.exit_logits(k, carry)

    def exit_logits(self, k: int, carry: Carry) -> torch.Tensor:
        """The logits (N, classes) of exit k, from the carry that block k hands on; those of the last are the network's."""
        return self.net.heads[k](self.head_input(k, carry))

    def inference_modules(self, k: int) -> list[nn.Module]:
        """What inference runs as block k, beside the classifier."""
        return [self.net.blocks[k]]

    def stage_modules(self, k: int) -> list[nn.Module]:
        """All whose parameters and buffers belong to stage k, the `inference_modules` of its blocks among them."""
        return [
            module
            for block in self.stages[k]
            for module in (*self.inference_modules(block), self.lookaheads[block], self.net.heads[block])
        ]

    @final
    def stage_parameters(self, k: int) -> list[nn.Parameter]:
        """What stage k's own optimizer updates: the parameters of its modules that require gradients."""
        return [parameter for module in self.stage_modules(k) for parameter in module.parameters() if parameter.requires_grad]

    def reads(self, k: int) -> tuple[int, ...]:
        """The other stages whose weights stage k reads in training. Where there are any, it cannot train apart from them."""
        return ()

    @final
    def output_loss(self, outputs: torch.Tensor, y: Any) -> torch.Tensor:
        """The scalar loss of an exit's outputs: `cross_entropy`, or the network's own loss where it has one (`net.loss`). What
        stages call, so that a method learns from other targets than class labels."""
        own = self.net.loss
        if own is None:
            return self.cross_entropy(outputs, y)
        loss = own(outputs, y)
        if not isinstance(loss, torch.Tensor) or loss.shape != ():
            gives = f"the shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
            raise UserError(f"a loss of outputs and targets gives one number, a scalar tensor, got {gives}; give their mean")
        return loss

    def cross_entropy(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of logits (N, classes) with this method's label smoothing. Outputs that are no logits, one a class,
        are a UserError, and so is a network that has a loss of its own."""
        if self.net.loss is not None:
            raise UserError(
                f"another loss takes the place of output_loss, got a {type(self).__name__} that calls cross_entropy; "
                "call output_loss in its stage, or leave loss out"
            )
        if logits.shape[-1] != self.net.num_classes:
            raise UserError(
                f"cross-entropy takes {self.net.num_classes} logits, one a class, got {logits.shape[-1]} "
                "numbers; a head with embedding=True is for infopro and contsup with loss=contrast"
            )
        return smoothed_cross_entropy(logits, y, self.label_smoothing)


def is_derived(member: object) -> bool:
    """Whether a member of `Method` follows from others, so that no method has its own."""
    return bool(getattr(getattr(member, "fget", member), "__final__", False))


def traits_of(method: Nested[Method]) -> Traits:
    """What is known of a method with its settings. One that is no subclass of Method, or has no `stage`, is a UserError."""
    kind, name = method.factory, method.spec.partition("(")[0]
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise UserError(f"a method is a subclass of methods.method.Method, which {name} is not")
    if inspect.isabstract(kind):
        raise UserError(f"a method says what its stages do, but {name} has no {', '.join(sorted(kind.__abstractmethods__))}")
    return replace(kind.traits(**method.settings), name=method.spec)
