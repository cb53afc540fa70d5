"""Plain greedy learning: a linear classifier on each block's pooled features."""

from __future__ import annotations

from typing import Any

from methods.dgl import DGL
from methods.traits import Traits
from spaces.network import DecoupledNet


class Greedy(DGL):
    """Local cross-entropy through a linear head at every cut: the papers' "greedy SL" baseline (Wang et al. 2021)."""

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.0) -> None:
        super().__init__(net, label_smoothing=label_smoothing)

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """What greedy is: a linear head at every cut."""
        return Traits(default_head="linear", rewrite=lambda asked: asked.with_head("linear"))
