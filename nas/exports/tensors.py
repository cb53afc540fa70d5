"""The tensors that an exit answers with, by the names that the plain network has for them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from methods.method import Method

OF_THE_EXIT = "exit."  # before the names of tensors that the plain network has not


def exit_modules(method: Method, k: int) -> list[nn.Module]:
    """What runs at inference up to exit k, counted from 0: the blocks, with what the method runs beside them, and the head."""
    blocks = [module for block in range(k + 1) for module in method.inference_modules(block)]
    return [*blocks, method.lookaheads[k], method.net.heads[k]]


def names_of(method: Method) -> dict[int, str]:
    """The name of each tensor of the method by its `id`: the plain network's own name, or `exit.` and that in the method."""
    names = {id(tensor): OF_THE_EXIT + name for name, tensor in method.state_dict(keep_vars=True).items()}
    names |= {id(tensor): name for name, tensor in _plain(method).items()}
    return names


def exit_tensors(method: Method, k: int) -> dict[str, torch.Tensor]:
    """The tensors of exit k: those of the plain network first, in its order and with all names that it has for one, then those
    that it has not. No two share memory."""
    used = set(map(id, _tensors(exit_modules(method, k))))
    plain = {name: tensor for name, tensor in _plain(method).items() if id(tensor) in used}
    known, names = set(map(id, plain.values())), names_of(method)
    others = {names[id(tensor)]: tensor for tensor in _tensors(exit_modules(method, k)) if id(tensor) not in known}
    return {name: tensor.detach().clone().contiguous() for name, tensor in {**plain, **others}.items()}


def plain_names(method: Method) -> list[str]:
    """The names in the plain network's own state dict, trained or not."""
    return list(_plain(method))


@torch.no_grad()
def load_exit_tensors(method: Method, k: int, tensors: dict[str, torch.Tensor]) -> None:
    """Put what `exit_tensors` gave into another method of the same run; a name that is missing is a KeyError."""
    names = names_of(method)
    for tensor in _tensors(exit_modules(method, k)):
        tensor.copy_(tensors[names[id(tensor)]])


def without_others(method: Method, exits: range) -> None:
    """Remove from the method all parameters and buffers of its state dict that none of these exits has; it can be used for
    nothing else then."""
    used = {id(tensor) for k in exits for tensor in _tensors(exit_modules(method, k))}
    others = {id(tensor) for tensor in method.state_dict(keep_vars=True).values()} - used
    for module in method.modules():
        for held in (module._parameters, module._buffers):
            held.update({name: None for name, tensor in held.items() if id(tensor) in others})


def _plain(method: Method) -> dict[str, torch.Tensor]:
    return method.net.backbone.model.state_dict(keep_vars=True)


def _tensors(modules: list[nn.Module]) -> Iterator[torch.Tensor]:
    """Parameters and buffers that a state dict has, each once."""
    seen = set()
    for module in modules:
        for tensor in module.state_dict(keep_vars=True).values():
            if isinstance(tensor, torch.Tensor) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor
