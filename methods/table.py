"""The methods by name."""

from __future__ import annotations

from methods.al import AL
from methods.auglocal import AugLocal
from methods.contsup import ContSup
from methods.cooperative import Cooperative
from methods.dgl import DGL, Backprop
from methods.early_exit import EarlyExit
from methods.greedy import Greedy
from methods.infopro import InfoPro
from methods.man import MAN
from methods.method import Method, traits_of
from methods.predsim import PredSim
from methods.traits import Traits
from spaces.notation.table import Table

METHODS: Table[Method] = Table(
    "method",
    {
        "backprop": Backprop,
        "dgl": DGL,
        "predsim": PredSim,
        "infopro": InfoPro,
        "contsup": ContSup,
        "greedy": Greedy,
        "auglocal": AugLocal,
        "man": MAN,
        "al": AL,
        "early_exit": EarlyExit,
        "cooperative": Cooperative,
    },
    nested={"base": None},
    makes=Method,
)


def traits(spec: str) -> Traits:
    """What is known of the method that `spec` names, with its settings, without building it."""
    return traits_of(METHODS.bind(spec))
