"""A method and a head of one's own: trained beside DGL, and checked by the tests that the built-in ones pass.

PYTHONPATH=examples python examples/own_method.py
PYTHONPATH=examples python -m pytest -q examples/own_method.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from torch import nn

import nas
from methods.method import Carry, Method
from methods.traits import Traits
from nas.testing import HeadContract, MethodContract
from spaces.backbone import Site


class Weighted(Method):
    """Local cross-entropy, which counts less the deeper a block lies: L_k = CE(head_k(h_k), y) / (k + 1)."""

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """Its head where a cut names none is mlp_sr."""
        return Traits(default_head="mlp_sr")

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        h = self.run_block(k, carry)
        logits = self.net.heads[k](self.head_input(k, h))
        return h, self.output_loss(logits, y) / (k + 1)


def hidden(site: Site, *, width: int = 32) -> nn.Module:
    """The mean over space, one hidden layer of `width` features, and logits."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(site.shape[0], width), nn.ReLU(), nn.Linear(width, site.num_classes)
    )


class TestWeighted(MethodContract):
    method = "own_method.Weighted"


class TestHidden(HeadContract):
    head = "own_method.hidden(width=16)"


def compare(folder: Path, iterations: int = 60) -> pd.DataFrame:
    """Both methods on the same cuts, with the head above."""
    table = nas.evaluate(
        "small",
        "digits",
        methods=["own_method.Weighted", "dgl"],
        seeds=1,
        iterations=iterations,
        decoupling=["even(3,head=own_method.hidden)"],
        results=folder / "results",
        runs=folder / "runs",
    )
    return table[["method", "decoupling", "test_error"]]


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        print(compare(Path(folder)))
