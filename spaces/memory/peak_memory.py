"""Activation memory, computed from shapes: the peak of anything that runs, and what each module adds to it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from spaces.memory.attention import fused_attention


class PeakMemory(TorchDispatchMode):
    """`with PeakMemory() as memory:` counts the bytes of all tensors made inside that are alive at once.

    `memory.peak` is the largest sum. Works the same on every device, the meta device included, where it is exact and
    costs milliseconds. Gradients of `leave_out`'s parameters, and what the optimizer keeps, are not activations: from
    the moment they are accumulated they do not count.
    """

    def __init__(self, leave_out: Iterable[nn.Parameter] = ()) -> None:
        super().__init__()
        self.current = self.peak = 0
        self._alive: dict[int, int] = {}
        self._attention = ExitStack()
        self._leave_out, self._hooks = [p for p in leave_out if p.requires_grad], list[RemovableHandle]()

    def __enter__(self) -> Self:
        self._attention.enter_context(fused_attention())
        self._hooks = [p.register_post_accumulate_grad_hook(self._forget_grad) for p in self._leave_out]
        return super().__enter__()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in given:
                self._count(tensor.untyped_storage())
        return result

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._attention.close()
        for hook in self._hooks:
            hook.remove()

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key not in self._alive:
            self._alive[key] = size
            self.current += size
            self.peak = max(self.peak, self.current)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.current -= self._alive.pop(key, 0)

    def _forget_grad(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            self._release(id(parameter.grad.untyped_storage()))


def likeness(module: nn.Module) -> str:
    """Equal texts for modules that compute alike: equal classes and settings, and tensors of equal shapes."""
    return repr(
        [
            (
                name,
                type(part),
                {key: value for key, value in vars(part).items() if key not in _EVERY_MODULE},
                [None if tensor is None else tensor.shape for tensor in (*part._parameters.values(), *part._buffers.values())],
            )
            for name, part in module.named_modules()
        ]
    )


_EVERY_MODULE = vars(nn.Module()).keys()


@dataclass(frozen=True)
class Footprint:
    """A module's activation bytes an image. `kept`: what stays between its forward and its backward pass beside its
    input and its output, and whether these stay too; `peak`: the most in either pass, its input included;
    `spreads_gradient`: the gradient of its input is one number repeated, as a mean's, and needs no memory of its own."""

    kept: int
    keeps_input: bool
    keeps_output: bool
    peak: int
    spreads_gradient: bool


def footprint(
    module: nn.Module,
    input_shape: tuple[int, ...],
    *,
    first: bool = False,
    last: bool = False,
    held: bool = False,
    spread: bool = False,
) -> Footprint:
    """The footprint of a module that lies on the meta device; nothing is computed.

    `first`: its input needs no gradient, as in the first unit of a block, and outlives it. `held`: its input outlives it.
    `last`: its output outlives its backward pass, as that of a block, which the next block is given. `spread`: it is
    given a gradient that needs no memory. The difference
    between two batch sizes is taken, so that what does not grow with the batch does not count.
    """
    small, large = (_footprint(module, (batch, *input_shape), first, last, held, spread) for batch in (_BATCH, 2 * _BATCH))
    return Footprint(
        (large.kept - small.kept) // _BATCH,
        large.keeps_input,
        large.keeps_output,
        (large.peak - small.peak) // _BATCH,
        large.spreads_gradient,
    )


_BATCH = 1024  # large, so that activations and not weights decide where the peak lies


def _footprint(module: nn.Module, shape: tuple[int, ...], first: bool, last: bool, held: bool, spread: bool) -> Footprint:
    spreads: list[bool] = []
    with torch.device("meta"), PeakMemory(leave_out=module.parameters()) as memory:
        # Where a unit comes before, only the graph holds its output, so a module that is done with it may let it go.
        x = torch.empty(shape) if first else torch.empty((), requires_grad=True).expand(shape).clone()
        y = module(x)
        end = y.sum()
        if y.requires_grad:
            shape_of_y = y.shape  # what comes after gives a gradient with storage of its own, or without
            few = (*shape_of_y[:2], *(1 for _ in shape_of_y[2:])) if len(shape_of_y) != 3 else (shape_of_y[0], 1, shape_of_y[2])
            y.register_hook(lambda g: g.new_empty(few).expand(shape_of_y) if spread else torch.empty_like(g))
            if not first:
                x.register_hook(lambda g: spreads.append(g.untyped_storage().nbytes() < g.nbytes))
        given, made = weakref.ref(x.untyped_storage()), weakref.ref(y.untyped_storage())
        sizes = x.untyped_storage().nbytes(), y.untyped_storage().nbytes()
        holding = (x if first or held else None, y if last else None)
        del x, y
        keeps = given() is not None, made() is not None
        kept = memory.current - sum(size for size, there in zip(sizes, keeps, strict=True) if there)
        if end.requires_grad:
            end.backward()
        del holding
    module.zero_grad(set_to_none=True)
    return Footprint(kept, *keeps, memory.peak, any(spreads))
