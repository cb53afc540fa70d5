"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from methods.auglocal import AugLocal
from methods.contsup import ContSup
from methods.dgl import DGL, Backprop
from methods.greedy import Greedy
from methods.infopro import InfoPro
from methods.man import MAN
from methods.method import Method
from methods.predsim import PredSim
from spaces.component import Component, Table
from spaces.decoupling import Decoupling
from spaces.errors import UserError


class MethodTable(Table[Method]):
    """A setting called `base` is a method itself."""

    def resolve(self, text: str | Component) -> Component:
        """As of every table, and the base's settings are filled in too."""
        component = super().resolve(text)
        settings = ((name, str(self.resolve(value)) if name == "base" else value) for name, value in component.settings)
        return Component(component.name, tuple(settings))


METHODS: Table[Method] = MethodTable("method", {
    "backprop": Backprop, "dgl": DGL, "predsim": PredSim, "infopro": InfoPro, "contsup": ContSup, "greedy": Greedy,
    "auglocal": AugLocal, "man": MAN,
})


def adapter(spec: str) -> Callable[[Decoupling], Decoupling]:
    """`Method.adapt` of the method that `spec` names, with its settings."""
    return partial(method_class(spec).adapt, **dict(METHODS.resolve(spec).settings))


def method_class(spec: str) -> type[Method]:
    """The class behind `name(settings)`, without building it."""
    name = METHODS.resolve(spec).name
    kind = METHODS[name]
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise UserError(f"a method is a subclass of methods.method.Method, which {name} is not")
    return kind
