"""The methods by name."""

from __future__ import annotations

from methods.dgl import DGL, Backprop
from methods.method import Method
from methods.predsim import PredSim
from spaces.component import Table

METHODS: Table[Method] = Table("method", {"backprop": Backprop, "dgl": DGL, "predsim": PredSim})
