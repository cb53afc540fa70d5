"""AugLocal: local learning through heads that look like what comes after (Ma et al. 2024)."""

from __future__ import annotations

from typing import Any

from methods.dgl import DGL
from methods.traits import Traits
from spaces.heads import HEADS
from spaces.network import DecoupledNet
from spaces.notation.component import Component


class AugLocal(DGL):
    """Local cross-entropy through heads that copy the shapes of units after the cut (Ma et al. 2024).

    Every cut gets the head `auglocal(depth, pyramid)`, whatever head the decoupling names. The papers' K counts units
    that the last block swallows: their ResNet-110 with K=55 and d=6 is `layerwise(last=7)`, 49 blocks. Their ImageNet code
    has a block a unit and no pyramid: `layerwise` with pyramid=0.

    depth    units of the first head
    pyramid  the share of them by which heads become smaller along the network; 0 for none
    """

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.0, depth: int = 6, pyramid: float = 0.5) -> None:
        super().__init__(net, label_smoothing=label_smoothing)
        self.depth, self.pyramid = depth, pyramid  # of the heads that `traits` names

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """Every cut has the auglocal head of this depth and pyramid."""
        of_head = tuple((name, settings[name]) for name in ("depth", "pyramid") if name in settings)
        return Traits(
            default_head="auglocal", rewrite=lambda asked: asked.with_head(str(HEADS.resolve(Component("auglocal", of_head))))
        )
