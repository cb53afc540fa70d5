"""Every recipe of experiments/ is read as `run.py evaluate --config` reads it, and each of its networks takes a first step."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

import run
from methods.lambdas import loss_weights
from methods.method import Method
from methods.settings import TrainingSettings
from methods.table import METHODS, adapter, method_class
from methods.training import Trainer
from nas.tasks import TASKS
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.network import PixelScale
from spaces.space import SearchSpace
from spaces.splits import read_decoupling
from spaces.tokens import TextShape

FOLDER = Path(run.__file__).with_name("experiments")
RECIPES = sorted(FOLDER.glob("*.yaml"))
SHAPES: dict[str, tuple[int, ...]] = {
    "cifar10": (3, 32, 32), "svhn": (3, 32, 32), "stl10": (3, 96, 96), "imagenet": (3, 224, 224),
    "ag_news": TextShape(128, 500), "dbpedia_14": TextShape(128, 500), "imdb": TextShape(256, 500),
}
CLASSES = {"cifar10": 10, "svhn": 10, "stl10": 10, "imagenet": 1000, "ag_news": 4, "dbpedia_14": 14, "imdb": 2}
RUNS = {  # a seed, from the commands of the released code (local_learning.md 4.3)
    "contsup_table1": 4, "contsup_table2": 16, "contsup_table3_cifar10": 8, "contsup_table3_stl10": 8, "contsup_table3_svhn": 8,
    "contsup_figure4_resnet32": 4, "contsup_figure4_resnet110": 3, "contsup_figure5": 44, "contsup_table4": 12,
    "contsup_table4_r16": 1,
}


@dataclass(frozen=True)
class Network:
    """What a recipe trains."""

    space: str
    task: str
    method: str
    decoupling: Decoupling
    checkpoint_units: bool

    def build(self, shape: tuple[int, ...]) -> Method:
        """The method on its network for inputs of this shape, on the current default device."""
        net = space_for(self.space, shape, CLASSES[self.task]).build(
            self.decoupling, checkpoint_units=self.checkpoint_units, pixels=PixelScale((0.5,) * 3, (0.25,) * 3),
            head_lookahead=method_class(self.method).head_lookahead)
        return METHODS.build(self.method, net)


@cache
def space_for(text: str, shape: tuple[int, ...], classes: int) -> SearchSpace:
    return read_space(text, shape, classes)


@cache
def networks(path: Path) -> tuple[Network, ...]:
    """Those of a recipe: methods x decouplings, as each method trains them, each once."""
    options = run.parse(["evaluate", "--config", str(path)])
    task = TASKS.resolve(options.task).name
    space = space_for(options.space, SHAPES[task], CLASSES[task])
    found = []
    for method in (str(METHODS.resolve(text)) for text in options.methods):
        points = (read_decoupling(text, space, method_class(method).default_head) for text in options.decoupling)
        found += [Network(options.space, task, method, point, options.checkpoint_units) for point in map(adapter(method), points)]
    return tuple(dict.fromkeys(found))


def settings(path: Path) -> TrainingSettings:
    """How a recipe trains."""
    options = run.parse(["evaluate", "--config", str(path)])
    return TrainingSettings(batch_size=options.batch_size, lr=options.lr[0], schedule=options.schedule[0],
                            weight_decay=options.weight_decay, optimizer=options.optimizer, precision=options.precision)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_networks_of_a_recipe_take_their_first_step(path, stepped):
    """On random images of 16 x 16 (VGG: 32 x 32), or on random words; those for ImageNet at its size, without storage.

    A network that differs from one of an earlier recipe only in its task, and so in the lambdas, is not stepped again.
    """
    for network in networks(path):
        if lambdas := dict(METHODS.resolve(network.method).settings).get("lambdas"):
            loss_weights(lambdas, network.decoupling.num_blocks)
        alike = (network.space, re.sub("_(cifar10|stl10|svhn)", "", network.method), network.decoupling, network.checkpoint_units)
        if network.task == "imagenet":
            with torch.device("meta"):
                method = network.build(SHAPES["imagenet"])
                losses = list(method.losses(torch.zeros(2, *SHAPES["imagenet"]), torch.zeros(2, dtype=torch.long)))
            assert [loss.shape for loss in losses] == [()] * network.decoupling.num_blocks
        elif alike not in stepped:
            stepped.add(alike)
            take_first_step(network, settings(path))


def take_first_step(network: Network, settings: TrainingSettings) -> None:
    """One iteration: a finite loss a block, and every stage learns."""
    shape = SHAPES[network.task]
    if isinstance(shape, TextShape):
        x = torch.randint(1, shape.num_words, (2, 12))
    else:
        side = 32 if network.space.startswith("vgg") else 16
        shape = (3, side, side)
        x = torch.rand(2, *shape)
    method = network.build(shape)
    trainer = Trainer(method, settings, seed=0, device=torch.device("cpu"))
    before = [[parameter.detach().clone() for parameter in method.stage_parameters(k)] for k in range(method.num_stages)]
    losses = trainer.step(x, torch.ones(2, dtype=torch.long), iteration=0)
    assert len(losses) == network.decoupling.num_blocks and torch.stack(losses).isfinite().all()
    for k, old in enumerate(before):
        moved = [not torch.equal(*pair) for pair in zip(old, method.stage_parameters(k), strict=True)]
        assert any(moved), f"stage {k} of {network.method} on {network.decoupling}"


@pytest.fixture(scope="module")
def stepped() -> set[tuple[str, str, Decoupling]]:
    """The networks that have taken their first step."""
    return set()


def test_contsups_recipes_are_its_commands():
    assert {path.stem: len(networks(path)) for path in RECIPES if path.stem.startswith("contsup")} == RUNS


def test_published_values_belong_to_a_recipes_methods_and_blocks():
    with open(FOLDER / "published.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        points = {(network.method, network.decoupling.num_blocks) for network in networks(FOLDER / f"{row['experiment']}.yaml")}
        assert (str(METHODS.resolve(row["method"])), int(row["num_blocks"])) in points, row
        assert 0 < float(row["test_error"]) < 1
    assert len({(row["experiment"], row["method"], row["num_blocks"]) for row in rows}) == len(rows)
