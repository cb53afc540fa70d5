"""Which modules of a network are looked into, and which are taken whole."""

from __future__ import annotations

from collections import Counter

from torch import nn


def is_layer(module: nn.Module) -> bool:
    """Whether the module has a matrix or a kernel of its own, as linear layers and convolutions have."""
    return any(parameter is not None and parameter.dim() >= 2 for parameter in module._parameters.values())


def num_layers(module: nn.Module) -> int:
    """How many layers the module has, in itself and further in."""
    return sum(map(is_layer, module.modules()))


def is_block(module: nn.Module) -> bool:
    """Whether the module joins several layers into one thing, as a residual block does; lists and chains are no blocks."""
    return not isinstance(module, _LISTS) and num_layers(module) >= 2


def holds_blocks(module: nn.Module) -> bool:
    """Whether a list of at least two blocks of one class lies in the module, as the layers of an encoder do; a module of nothing
    but such blocks is a list too."""
    for part in module.modules():
        children = list(part.children())
        blocks = Counter(type(child) for child in children if is_block(child))
        most = max(blocks.values(), default=0)
        if most >= 2 and (isinstance(part, _LISTS) or most == len(children)):
            return True
    return False


def opened_modules(model: nn.Module, whole: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of the modules whose own forward is traced; all others are called as they are, whatever they do inside.

    The network itself, chains (`nn.Sequential`), what holds a list of blocks, and what holds more than half of all parameters,
    if it is the only one of its class; each only inside others that are opened, and none of those in `whole`.
    """
    classes = Counter(type(part) for part in model.modules())
    everything = sum(parameter.numel() for parameter in model.parameters())
    found = {""}

    def look(name: str, module: nn.Module) -> None:
        for child_name, child in module.named_children():
            path = f"{name}.{child_name}" if name else child_name
            if path in whole:
                continue
            if isinstance(child, (nn.ModuleList, nn.ModuleDict)) and type(child).forward is nn.Module.forward:
                look(path, child)  # never called, only walked through
                continue
            is_most = (
                classes[type(child)] == 1 and sum(parameter.numel() for parameter in child.parameters()) > _MOST * everything
            )
            has_parts = any(True for _ in child.children())
            if has_parts and (isinstance(child, nn.Sequential) or holds_blocks(child) or is_most):
                found.add(path)
                look(path, child)

    look("", model)
    return frozenset(found)


_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_MOST = 0.5
