"""How a program that has no part of this project makes the plain network of a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Construction:
    """A call of a function of a library, or of the user, and the layers that are put in the place of the network's own.

    `function` is a dotted path, `positional` and `keywords` are what it is given, all as they are written in Python.
    """

    function: str
    positional: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()

    def make(self) -> nn.Module:
        """The network, with the layers that the library gave it."""
        module, _, name = self.function.rpartition(".")
        return getattr(import_module(module), name)(*self.positional, **self.keywords)

    def with_replaced(self, *names: str | None) -> Construction:
        """With these layers put in, too; None is no layer."""
        return replace(self, replaced=(*self.replaced, *filter(None, names)))

    def imports(self) -> list[str]:
        """The lines that come first."""
        module = self.function.rpartition(".")[0]
        return [f"import {module}", *["import torch"] * bool(self.replaced)]

    def lines(self, model: nn.Module) -> list[str]:
        """The lines that make `model`; of replaced layers those of the given one are written."""
        given = [*map(repr, self.positional), *(f"{name}={value!r}" for name, value in self.keywords.items())]
        layers = [f'model.set_submodule("{name}", torch.nn.{model.get_submodule(name)!r})' for name in self.replaced]
        return [f"model = {self.function}({', '.join(given)})", *layers]
