"""Runs of networks that are drawn and not trained, as if they had been saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from methods.table import METHODS, traits
from nas.runs.trained_run import SavedExit, TrainedRun
from spaces.decoupling import Decoupling
from spaces.heads import HEADS

IMAGES: dict[str, Any] = {
    "kind": "images",
    "shape": [1, 8, 8],
    "mean": [0.3],
    "std": [0.4],
    "zoom": 1.0,
    "classes": [f"class {number}" for number in range(10)],
    "features": None,
}
TEXTS: dict[str, Any] = {
    "kind": "texts",
    "length": 12,
    "words": [f"w{number}" for number in range(30)],
    "classes": ["a", "b", "c"],
    "features": None,
}
FEATURES = {"columns": ["age", "size"], "mean": [1.0, 50.0], "std": [2.0, 10.0]}


@pytest.fixture
def saved_run(tmp_path: Path) -> Callable[..., TrainedRun]:
    """saved_run(method, backbone, cuts, ...): its folder is `path`'s, and no results name it."""

    def make(
        method: str = "dgl",
        backbone: str = "small(width=0.25)",
        cuts: tuple[int, ...] = (2, 4),
        *,
        head: str | None = None,
        inputs: dict[str, Any] = IMAGES,
        side: str | None = None,
        precision: str = "fp32",
        **key: Any,
    ) -> TrainedRun:
        spec = str(METHODS.resolve(method))
        named = Decoupling(cuts, tuple(str(HEADS.resolve(head or str(traits(spec).default_head))) for _ in cuts))
        decoupling = str(traits(spec).adapt(named))
        cells = {"method": spec, "backbone": backbone, "decoupling": decoupling, "precision": precision, "seed": 0, "side": side}
        run = TrainedRun(tmp_path / "run" / "trained.pt", cells | {"task": "nothing_here"} | key, dict(inputs), (), {})
        torch.manual_seed(0)
        drawn = run._built()
        for layer in drawn.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
        exits = tuple(SavedExit(k + 1, 10 * (k + 1), 12 * (k + 1), 0.1, fitted_temperature=1.5 + k) for k in range(len(cuts) + 1))
        run = replace(run, exits=exits, weights={name: tensor.clone() for name, tensor in drawn.state_dict().items()})
        run.path.parent.mkdir(exist_ok=True)
        run.save()
        return run

    return make
