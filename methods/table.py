"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from methods.auglocal import AugLocal
from methods.dgl import DGL, Backprop
from methods.greedy import Greedy
from methods.man import MAN
from methods.method import Method
from methods.predsim import PredSim
from spaces.component import Table
from spaces.decoupling import Decoupling
from spaces.errors import UserError

METHODS: Table[Method] = Table("method", {
    "backprop": Backprop, "dgl": DGL, "predsim": PredSim, "greedy": Greedy, "auglocal": AugLocal, "man": MAN,
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
