"""The methods by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from methods.al import AL
from methods.auglocal import AugLocal
from methods.contsup import ContSup
from methods.cooperative import Cooperative
from methods.dgl import DGL, Backprop
from methods.early_exit import EarlyExit
from methods.greedy import Greedy
from methods.infopro import InfoPro
from methods.man import MAN
from methods.method import Method
from methods.predsim import PredSim
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.heads.conv_fc import gives_embedding
from spaces.notation.errors import UserError
from spaces.notation.table import Table

METHODS: Table[Method] = Table("method", {
    "backprop": Backprop, "dgl": DGL, "predsim": PredSim, "infopro": InfoPro, "contsup": ContSup, "greedy": Greedy,
    "auglocal": AugLocal, "man": MAN, "al": AL, "early_exit": EarlyExit, "cooperative": Cooperative,
}, nested={"base": None}, makes=Method)


def adapter(spec: str) -> Callable[[Decoupling], Decoupling]:
    """`Method.adapt` of the method that `spec` names, with its settings.

    What it gives refuses, with a UserError, cuts without a head where the method needs one, and heads that give embeddings
    where it learns from their logits.
    """
    kind, settings = method_class(spec), dict(METHODS.resolve(spec).settings)
    wants_logits = kind.answers_early(**settings)

    def adapt(decoupling: Decoupling) -> Decoupling:
        adapted = kind.adapt(decoupling, **settings)
        if NO_HEAD in adapted.heads and kind.default_head != NO_HEAD:
            raise UserError(f"{spec} learns through heads, but '{adapted}' has none at a cut; name one, such as linear")
        for head in filter(gives_embedding, adapted.heads if wants_logits else ()):
            raise UserError(f"{spec} learns from its heads' logits, but {head} gives an embedding; leave embedding=True out, "
                            "or take loss=contrast of infopro or contsup")
        return adapted

    return adapt


def answers_early(spec: str) -> bool:
    """`Method.answers_early` of the method that `spec` names, with its settings."""
    return method_class(spec).answers_early(**dict(METHODS.resolve(spec).settings))


def learns_jointly(spec: str) -> bool:
    """`Method.learns_jointly` of the method that `spec` names, with its settings."""
    return method_class(spec).learns_jointly(**dict(METHODS.resolve(spec).settings))


def method_class(spec: str) -> type[Method]:
    """The class behind `name(settings)`, without building it."""
    name = METHODS.resolve(spec).name
    kind = METHODS[name]
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise UserError(f"a method is a subclass of methods.method.Method, which {name} is not")
    if inspect.isabstract(kind):
        raise UserError(f"a method says what its stages do, but {name} has no {', '.join(sorted(kind.__abstractmethods__))}")
    return kind
