"""The parts of a network, under their own names, in a module that holds some of them."""

from __future__ import annotations

from typing import Any

from torch import nn


def attach(root: nn.Module, path: str, held: Any) -> None:
    """Put a module, parameter or buffer below `root` at its dotted path."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, Parent())
        root = root._modules[parent]  # type: ignore[assignment]
    if isinstance(held, nn.Module):
        root.add_module(name, held)
    elif isinstance(held, nn.Parameter):
        root.register_parameter(name, held)
    else:
        root.register_buffer(name, held)


class Parent(nn.Module):
    """A name above others, as in `layer1.0.conv1`; it computes nothing. A class of its own: SEDONA's engine unroll derives one
    from every module's, which cannot be done with `nn.Module` itself."""
