"""What is exported as a graph: functions of plain tensors, which the network up to an exit is, and each block of a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from methods.method import Method
from methods.sides.side import SideInputs
from nas.exits.confidence import ConfidenceRule, confidence
from spaces.activation import TextShape, WithFeatures, input_shape
from spaces.notation.own_modules import OWN_ERRORS

_NO_TENSOR = object()


@dataclass(frozen=True)
class Tree:
    """How tensors lie in a nested structure, such as a carry, whose other leaves stay what they are."""

    spec: Any
    others: tuple[Any, ...]  # the leaves that are no tensors; `_NO_TENSOR` where one is

    @classmethod
    def of(cls, nested: Any) -> tuple[Tree, tuple[torch.Tensor, ...]]:
        """The structure, and the tensors in it."""
        leaves, spec = tree_flatten(nested)
        others = tuple(_NO_TENSOR if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves)
        return cls(spec, others), tuple(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))

    def nested(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The structure with these tensors in it."""
        given = iter(tensors)
        return tree_unflatten([next(given) if other is _NO_TENSOR else other for other in self.others], self.spec)


class ExitFunction(nn.Module):
    """The tensors of inputs -> the logits (N, classes) of exit k, counted from 0; what is behind it does not run."""

    def __init__(self, method: Method, k: int, given: Tree) -> None:
        super().__init__()
        self.method, self.k, self.given = method, k, given

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """The logits."""
        return self.method.exit(self.k, self.given.nested(tensors))


class StageFunction(nn.Module):
    """The tensors that block k is given -> the logits (N, classes) of exit k, and the tensors that it hands on; block 0 is given
    inputs, others the carry of the block before. `last` hands nothing on."""

    def __init__(self, method: Method, k: int, given: Tree, *, last: bool) -> None:
        super().__init__()
        self.method, self.k, self.given, self.last = method, k, given, last

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits, then what is handed on."""
        carry = self.given.nested(tensors)
        carry = self.method.run_block(self.k, self.method.start(carry) if self.k == 0 else carry)
        logits = self.method.exit_logits(self.k, carry)
        return (logits,) if self.last else (logits, *Tree.of(carry)[1])


class DecidingStage(nn.Module):
    """A stage that also says whether its inputs leave: what it is given, then from the second on the logits of the exit before
    -> its logits divided by the temperature, whether all are as sure as the threshold, and what is handed on. The last stage
    gives logits alone."""

    def __init__(self, stage: StageFunction, temperature: float, *, rule: ConfidenceRule, threshold: float) -> None:
        super().__init__()
        self.stage, self.rule, self.threshold, self.temperature = stage, rule, threshold, temperature

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits, bool () and the tensors handed on."""
        before = None if self.stage.k == 0 else tensors[-1]
        raw, *carry = self.stage(*(tensors if before is None else tensors[:-1]))
        logits = raw / self.temperature
        if self.stage.last:
            return (logits,)
        bounded = None if self.stage.method.logit_range is None else raw
        return (logits, (confidence(self.rule, logits, before, bounded) >= self.threshold).all(), *carry)


@dataclass(frozen=True)
class Probe:
    """Tensors that a function can be traced with, and which of their sizes follow the batch and the length of texts."""

    given: Tree
    tensors: tuple[torch.Tensor, ...]
    sizes: tuple[dict[int, str], ...]
    """Of each tensor: `batch` or `length` at the dimensions that vary."""

    def with_logits(self, num_classes: int) -> Probe:
        """With the logits of an exit behind its tensors."""
        axis = self.batch_axes[0]
        logits = torch.zeros(self.tensors[0].shape[axis], num_classes)
        return Probe(self.given, (*self.tensors, logits), (*self.sizes, {0: "batch"}))

    @property
    def batch_axes(self) -> tuple[int, ...]:
        """Along which dimension of each tensor the samples lie."""
        return tuple(next(axis for axis, name in sizes.items() if name == "batch") for sizes in self.sizes)


def input_names(method: Method, num_features: int) -> tuple[str, ...]:
    """What the tensors of an input are called: `input`, or `input0`, `input1`, ... where it has several; then `features`."""
    count = len(Tree.of(input_noise(method, 0, 1))[1])
    names = ("input",) if count == 1 else tuple(f"input{number}" for number in range(count))
    return (*names, "features") if num_features else names


def input_probe(method: Method, num_features: int) -> Probe:
    """Of inputs of the largest size."""
    shape = input_shape(method.net.shapes[0])
    return _probe(*(_inputs(shape, num_features, size, length) for size, length in _sizes(shape)))


@torch.no_grad()
def stage_probes(method: Method, num_features: int, num_stages: int) -> list[Probe]:
    """Of what each of the first `num_stages` blocks is given."""
    shape = input_shape(method.net.shapes[0])
    given = [_inputs(shape, num_features, size, length) for size, length in _sizes(shape)]
    probes = [_probe(*given)]
    carries = [method.start(x) for x in given]
    for k in range(num_stages - 1):
        alike, shorter = [method.run_block(k, carry) for carry in carries[:2]], carries[2:]
        with suppress(*OWN_ERRORS):  # of networks that take texts of one length alone
            alike += [method.run_block(k, carry) for carry in shorter]
        carries = alike
        probes.append(_probe(*carries))
    return probes


def input_noise(method: Method, num_features: int, size: int) -> Any:
    """`size` random inputs of the largest size."""
    shape = input_shape(method.net.shapes[0])
    return _inputs(shape, num_features, size, None)


def length_is_fixed(method: Method) -> bool:
    """Whether texts have to be padded to full length: slices of them are what a side input gives to blocks."""
    return isinstance(input_shape(method.net.shapes[0]), TextShape) and isinstance(method, SideInputs)


def _sizes(shape: Any) -> list[tuple[int, int | None]]:
    """Batch and length of an example, of one with other samples, and of one that is shorter."""
    if not isinstance(shape, TextShape):
        return [(2, None), (3, None)]
    return [(2, shape.length), (3, shape.length), (2, max(1, shape.length - 1))]


def _inputs(shape: Any, num_features: int, size: int, length: int | None) -> Any:
    generator = torch.Generator().manual_seed(0)
    x = shape.noise(size, generator)
    x = x if length is None else x[:, :length]
    return WithFeatures(x, torch.randn(size, num_features, generator=generator)) if num_features else x


def _probe(first: Any, other_batch: Any, other_length: Any = None) -> Probe:
    given, tensors = Tree.of(first)
    sizes: list[dict[int, str]] = [{} for _ in tensors]
    for other, name in ((other_batch, "batch"), (other_length, "length")):
        for found, tensor, beside in zip(sizes, tensors, () if other is None else Tree.of(other)[1], strict=False):
            for axis, pair in enumerate(zip(tensor.shape, beside.shape, strict=True)):
                if pair[0] != pair[1]:
                    found.setdefault(axis, name)
    return Probe(given, tensors, tuple(sizes))
