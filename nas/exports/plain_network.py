"""How the plain network of a run is made in a program that has no part of this project."""

from __future__ import annotations

import torch
from torch import nn

from methods.method import Method
from spaces.construction import Construction


def construction(method: Method) -> tuple[list[str], list[str]]:
    """The imports, and the lines that make `model`, the network of a library or of the user; none where its class is this
    project's, or where the lines would make a network with other tensors."""
    model, plain = method.net.backbone.model, method.net.backbone.construction
    if plain is None or not all(_is_of_torch(model.get_submodule(name)) for name in plain.replaced):
        return [], []
    made = _made(plain)
    for name in plain.replaced:
        made.set_submodule(name, model.get_submodule(name))
    shapes, wanted = ({name: tensor.shape for name, tensor in one.state_dict().items()} for one in (made, model))
    return (plain.imports(), plain.lines(model)) if shapes == wanted else ([], [])


def _is_of_torch(layer: nn.Module) -> bool:
    """Whether its class is written torch.nn."""
    return getattr(nn, type(layer).__name__, None) is type(layer)


def _made(plain: Construction) -> nn.Module:
    """Without storage, but for networks that read numbers off tensors while they are made."""
    try:
        with torch.device("meta"):
            return plain.make()
    except (NotImplementedError, RuntimeError):
        return plain.make()
