"""Plain greedy learning: a linear classifier on each block's pooled features."""

from __future__ import annotations

from typing import Any

from methods.dgl import DGL
from spaces.decoupling import Decoupling
from spaces.network import DecoupledNet


class Greedy(DGL):
    """Local cross-entropy through a linear head at every cut: the papers' "greedy SL" baseline (Wang et al. 2021)."""

    default_head = "linear"

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.0) -> None:
        super().__init__(net, label_smoothing=label_smoothing)

    @classmethod
    def adapt(cls, decoupling: Decoupling, **settings: Any) -> Decoupling:
        """The same cuts, each with the linear head."""
        return decoupling.with_head("linear")
