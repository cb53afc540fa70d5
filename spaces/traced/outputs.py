"""How a network is called, and what it gives, as one tensor: its own outputs may be wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from spaces.notation.errors import UserError

NAMES = ("logits", "out")  # of Hugging Face's and torchvision's outputs


def called(model: nn.Module, x: Any) -> Any:
    """What a network gives for an input: a tensor, a tuple of arguments by position or a dict of arguments by name."""
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def outputs_of(made: Any, name: str) -> Any:
    """The tensor among a network's outputs: itself, a field or entry `logits` or `out`, or the only part of a tuple.

    Anything else is a UserError; `name` is how it calls the network.
    """
    if isinstance(made, Tensor | fx.Proxy):
        return made
    for key in NAMES:
        part = made.get(key) if isinstance(made, Mapping) else getattr(made, key, None)
        if isinstance(part, Tensor | fx.Proxy):
            return part
    if isinstance(made, tuple | list) and len(made) == 1 and isinstance(made[0], Tensor | fx.Proxy):
        return made[0]
    raise UserError(
        f"a network gives one tensor, or an output named {' or '.join(NAMES)}, got a {type(made).__name__} of {name}; wrap it "
        "in a module that gives the one to learn from (auxiliary outputs off)"
    )
