"""Activation memory, computed from shapes: the peak of anything that runs, and what each module adds to it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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
        self._hooks = [p.register_post_accumulate_grad_hook(self._forget_grad) for p in leave_out]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in given:
                self._count(tensor.untyped_storage())
        return result

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
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
    return repr([
        (name, type(part), {key: value for key, value in vars(part).items() if key not in _EVERY_MODULE},
         [None if tensor is None else tensor.shape for tensor in (*part._parameters.values(), *part._buffers.values())])
        for name, part in module.named_modules()
    ])


_EVERY_MODULE = vars(nn.Module()).keys()


@dataclass(frozen=True)
class Footprint:
    """A module's activation bytes an image: `kept` between its forward and its backward pass, and its own `peak` in
    either, both beside its input and the latter with the gradient that it is given."""

    kept: int
    peak: int


def footprint(module: nn.Module, input_shape: tuple[int, ...], *, first: bool = False, last: bool = False) -> Footprint:
    """The footprint of a module that lies on the meta device; nothing is computed.

    `first`: its input needs no gradient, as in the first unit of a block. `last`: its output outlives its backward
    pass, as that of a block, which the next block is given. The difference between two batch sizes is taken, so that
    what does not grow with the batch does not count.
    """
    small, large = (_footprint(module, (batch, *input_shape), first, last) for batch in (_BATCH, 2 * _BATCH))
    return Footprint((large.kept - small.kept) // _BATCH, (large.peak - small.peak) // _BATCH)


_BATCH = 1024  # large, so that activations and not weights decide where the peak lies


def _footprint(module: nn.Module, shape: tuple[int, ...], first: bool, last: bool) -> Footprint:
    x = torch.empty(*shape, device="meta", requires_grad=not first)
    with PeakMemory(leave_out=module.parameters()) as memory:
        y = module(x)
        kept = memory.current
        if y.requires_grad:
            end = y.sum()
            y.register_hook(torch.empty_like)  # what comes after gives a gradient with storage of its own
            if not last:
                del y
            end.backward()
    module.zero_grad(set_to_none=True)
    return Footprint(kept, memory.peak)
