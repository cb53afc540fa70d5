"""Every recipe of experiments/ is read as `run.py evaluate --config` reads it, and each of its networks takes a first step."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

import run
from methods.method import Method
from methods.settings import TrainingSettings
from methods.table import METHODS, adapter, method_class
from methods.training import Trainer
from nas.tasks import TASKS
from spaces.component import Component
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.network import PixelScale
from spaces.splits import read_decoupling

FOLDER = Path(run.__file__).with_name("experiments")
RECIPES = sorted(FOLDER.glob("*.yaml"))
SHAPES = {"cifar10": ((3, 32, 32), 10), "svhn": ((3, 32, 32), 10), "stl10": ((3, 96, 96), 10), "imagenet": ((3, 224, 224), 1000)}
RUNS = {"contsup_table1": 4, "contsup_table2": 16, "contsup_table3_cifar10": 8, "contsup_table3_stl10": 8, "contsup_table3_svhn": 8,
        "contsup_figure4_resnet32": 4, "contsup_figure4_resnet110": 3, "contsup_figure5": 44, "contsup_table4": 12,
        "contsup_table4_r16": 1}  # a seed, from the commands of the released code (local_learning.md 4.3)


@dataclass(frozen=True)
class Network:
    """What a recipe trains; a first step on the images' own size costs seconds, so `side` may make them smaller."""

    space: str
    shape: tuple[int, ...]
    classes: int
    method: str
    decoupling: Decoupling
    checkpoint_units: bool

    def build(self, side: int | None = None) -> Method:
        """The method on its network, on the current default device."""
        shape = self.shape if side is None else (self.shape[0], side, side)
        pixels = PixelScale((0.5,) * 3, (0.25,) * 3)
        net = read_space(self.space, shape, self.classes).build(
            self.decoupling, checkpoint_units=self.checkpoint_units, pixels=pixels,
            head_lookahead=method_class(self.method).head_lookahead)
        return METHODS.build(self.method, net)


@cache
def networks(path: Path) -> tuple[Network, ...]:
    """Those of a recipe: methods x decouplings, as each method trains them, each once."""
    options = run.parse(["evaluate", "--config", str(path)])
    shape, classes = SHAPES[TASKS.resolve(options.task).name]
    space = read_space(options.space, shape, classes)
    found = []
    for method in (str(METHODS.resolve(text)) for text in options.methods):
        points = (read_decoupling(text, space, method_class(method).default_head) for text in options.decoupling)
        found += [Network(options.space, shape, classes, method, point, options.checkpoint_units)
                  for point in map(adapter(method), points)]
    return tuple(dict.fromkeys(found))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_each_network_makes_a_finite_set_of_losses(path):
    """At the images' own size, without storage: K losses, each a number."""
    options = run.parse(["evaluate", "--config", str(path)])
    for field in ("lr", "schedule"):
        TrainingSettings(batch_size=options.batch_size, weight_decay=options.weight_decay, optimizer=options.optimizer,
                         precision=options.precision, **{field: getattr(options, field)[0]})
    for network in networks(path):
        with torch.device("meta"):
            method = network.build()
            losses = list(method.losses(torch.zeros(2, *network.shape), torch.zeros(2, dtype=torch.long)))
        assert [loss.shape for loss in losses] == [()] * network.decoupling.num_blocks
