"""Modules that write into what they are given: found without computing anything, and given copies where others read it too."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from spaces.activation import Activation, OwnActivation
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS, said_by


def meta_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's parameters and buffers as shapes without storage, numbers of any precision in torch's default, which examples
    are in; its own buffers stay untouched."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {
        name: torch.empty_like(tensor, device="meta", dtype=torch.get_default_dtype() if tensor.is_floating_point() else None)
        for name, tensor in tensors
    }


def traced(module: nn.Module, given: Activation) -> tuple[Activation, frozenset[int]]:
    """What the module makes of `given`, on the meta device, and the storages of `given` that it writes into.

    `given` keeps its shape, whatever the module does to it. An operation in place moves the version of what it writes into,
    which views and detached tensors share with it.
    """
    alias = tree_map_only(torch.Tensor, torch.Tensor.detach, given)
    before = versions(given)
    with torch.no_grad(), torch.device("meta"), BatchNormFromShapes():
        made = torch.func.functional_call(module, meta_tensors(module), (alias,))
    moved = [tensor for tensor, was, now in zip(_tensors(given), before, versions(given), strict=True) if was != now]
    return made, storages(moved)


class BatchNormFromShapes(TorchFunctionMode):
    """On the meta device BatchNorm gives a tensor like its input at once: torch's own way there takes longer than all the rest of
    a network. Its gradient is not known then."""

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function is F.batch_norm and given[0].is_meta:
            of_channels = (*given[1:], *named.values())
            if all(len(t) == given[0].shape[1] for t in of_channels if isinstance(t, torch.Tensor)):
                return torch.empty_like(given[0])
        return function(*given, **named)


def traced_at(what: str, module: nn.Module, given: Activation) -> tuple[Activation, frozenset[int]]:
    """`traced`; a module that cannot take what it is given, or gives no activation, is a UserError that says which, `what`."""
    try:
        made, written = traced(module, given)
    except UserError:
        raise
    except OWN_ERRORS as error:
        raise UserError(
            f"{what}, {type(module).__name__}, cannot take activations of {tuple(_tensors(given)[0].shape[1:])} "
            f"({said_by(error)}); it has to fit what comes before it and the task's inputs"
        ) from None
    values, samples = made.values if isinstance(made, OwnActivation) else made, _tensors(given)[0]
    if not isinstance(values, torch.Tensor):
        raise UserError(
            f"{what}, {type(module).__name__}, must hand on a tensor, or Tokens, but it gives a {type(values).__name__}"
        )
    if values.shape[:1] != samples.shape[:1]:
        raise UserError(
            f"{what}, {type(module).__name__}, must hand on as many samples as it is given, {len(samples)}, in "
            f"front, but it gives {tuple(values.shape)}"
        )
    return made, written


def versions(given: Any) -> list[int]:
    """How often each tensor was written into. Those of torch.inference_mode do not count."""
    return [0 if tensor.is_inference() else tensor._version for tensor in _tensors(given)]


def storages(given: Any) -> frozenset[int]:
    """The memory in which an activation's tensors lie."""
    return frozenset(tensor.untyped_storage()._cdata for tensor in _tensors(given))


def keep_apart(module: nn.Module) -> None:
    """Give the module a copy of its input from now on."""
    if not is_kept_apart(module):
        module.register_forward_pre_hook(_copied)


def is_kept_apart(module: nn.Module) -> bool:
    """Whether the module is given copies."""
    return _copied in module._forward_pre_hooks.values()


def _copied(module: nn.Module, given: tuple[Any, ...]) -> Any:
    return tree_map_only(torch.Tensor, torch.Tensor.clone, given)


def _tensors(given: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(given) if isinstance(leaf, torch.Tensor)]
