"""What papers print: each value of published.csv with all settings of the experiment that repeats it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from nas.published.experiments import experiments, values_file, where_it_deviates
from nas.tasks import TASKS
from nas.tasks.text_sets import TEXT_SETS
from spaces.activation import TextShape
from spaces.decoupling import Decoupling
from spaces.named import named_backbone, read_space
from spaces.notation.component import Component
from spaces.notation.plain_yaml import read_yaml
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

_SIDES = {"stl10": 96, "imagenet": 224, "tiny_imagenet": 64}  # of images, which decide on cuts by memory; others have 32
_TEXTS = TextShape(128, 500)  # no cut depends on them


@dataclass(frozen=True)
class Experiment:
    """A file of experiments/: the options of `evaluate` that it gives, components with all their settings."""

    name: str
    path: Path

    @cached_property
    def options(self) -> dict[str, Any]:
        """As the file has them."""
        options = read_yaml(self.path, "the experiment", "reinstall the program")
        return dict(options)

    @cached_property
    def backbone(self) -> Component:
        """What is cut."""
        return named_backbone(str(self.options["space"]))

    @cached_property
    def task(self) -> Component:
        """The data."""
        return TASKS.resolve(str(self.options["task"]))

    @cached_property
    def training(self) -> TrainingSettings:
        """How it trains; `iterations` are not known without the data."""
        known = ("batch_size", "lr", "weight_decay", "optimizer", "schedule", "precision", "checkpoint_units", "class_batches")
        return TrainingSettings(**{name: self.options[name] for name in known if name in self.options})

    @property
    def length(self) -> tuple[str, int]:
        """How long it trains: `epochs` or `iterations`, and how many."""
        unit = "epochs" if "epochs" in self.options else "iterations"
        return unit, int(self.options[unit])

    @property
    def deviates(self) -> str:
        """How the experiment deviates from the paper, in words."""
        return where_it_deviates(self.path)

    @cached_property
    def space(self) -> SearchSpace:
        """What may be cut, for inputs of a size at which the cuts are those of its task."""
        side = _SIDES.get(self.task.name, 32)
        shape = _TEXTS if self.task.name in TEXT_SETS else (3, side, side)
        return read_space(str(self.options["space"]), shape, 10)

    def points(self, method: str) -> dict[str, Decoupling]:
        """The decouplings of a method, by what the file calls them."""
        return _points(self, method)


@lru_cache(maxsize=1024)
def _points(experiment: Experiment, method: str) -> dict[str, Decoupling]:
    known, space = traits(method), experiment.space
    rules = [str(rule) for rule in experiment.options["decoupling"]]
    return {rule: known.adapt(read_decoupling(rule, space, known.default_head)) for rule in rules}


@dataclass(frozen=True)
class PublishedValue:
    """A value that a paper prints: a test error, a share in 0..1, with its standard deviation where there is one."""

    experiment: Experiment
    method: Component
    num_blocks: int
    rule: str
    test_error: float
    std: float | None
    source: str

    @cached_property
    def decoupling(self) -> Decoupling:
        """The cuts and heads of the experiment for this value."""
        points = self.experiment.points(str(self.method))
        return points[self.rule] if self.rule else next(one for one in points.values() if one.num_blocks == self.num_blocks)


@lru_cache(maxsize=1)
def published_values() -> tuple[PublishedValue, ...]:
    """All that are known, in the order of the file; none where it is not installed."""
    path = values_file()
    if path is None:
        return ()
    known = {name: Experiment(name, file) for name, file in experiments().items()}
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedValue(
                known[row["experiment"]],
                METHODS.resolve(row["method"]),
                int(row["num_blocks"]),
                row["rule"],
                float(row["test_error"]),
                float(row["std"]) if row["std"] else None,
                row["source"],
            )
            for row in csv.DictReader(file)
        )
