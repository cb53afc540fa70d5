"""A kind of input of which no file of the program knows, rows of numbers and categories: trained, searched, costed, answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import nas
from methods.training.class_limit import ClassLimit
from methods.training.saved_fields import Field, whole
from nas.data.digest import digest
from nas.data.new.input_kind import InputKind
from nas.data.task_parts import TaskParts
from nas.testing.methods import MethodCase, toy_batch
from spaces.activation import InputShape, OwnActivation, pooled
from spaces.backbone import Backbone
from spaces.layers.layers import kaiming, pooled_linear
from spaces.named import read_space
from spaces.notation.errors import UserError

HERE, WIDTH = __name__, 8
SPACE = f"space(backbone='{HERE}.network',heads=[linear,predsim],num_blocks=[1,3])"


class Rows(NamedTuple):
    """Inputs: numbers float32 (N, F) and categories int64 (N, C)."""

    numbers: torch.Tensor
    categories: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.numbers.device


class RowShape(NamedTuple):
    """F numbers, and C categories of so many values."""

    numbers: int
    categories: int
    num_values: int
    kind, spaces, plain, varies = "tables", f"the space {SPACE}", False, False

    @property
    def described(self) -> str:
        return f"tables of {self.numbers} + {self.categories} columns"

    def example(self, size: int, device: torch.device | str) -> Rows:
        return Rows(
            torch.zeros(size, self.numbers, device=device), torch.zeros(size, self.categories, dtype=torch.long, device=device)
        )

    def noise(self, size: int, generator: torch.Generator) -> Rows:
        return Rows(
            torch.randn(size, self.numbers, generator=generator),
            torch.randint(self.num_values, (size, self.categories), generator=generator),
        )

    def toys(self, y: torch.Tensor, num_classes: int, generator: torch.Generator) -> Rows:
        noise = self.noise(len(y), generator)
        return Rows(noise.numbers + 3 * y[:, None], y[:, None] % self.num_values + 0 * noise.categories)

    def cut(self, x: Rows) -> Rows:
        return x


class Cells(NamedTuple):
    """Activations: a vector a column, (N, F + C, D)."""

    values: torch.Tensor
    name = "cells"

    def mean(self) -> torch.Tensor:
        return self.values.mean(1)

    def deviation(self, least_variance: float) -> torch.Tensor:
        return (self.values.float().var(1, correction=0) + least_variance).sqrt()

    def final_state(self) -> None:
        return None

    def rows(self, index: torch.Tensor) -> Cells:
        return Cells(self.values[index])

    def convolved(self, layer: nn.Module) -> Cells:
        return Cells(layer(self.values.transpose(1, 2)).transpose(1, 2))

    def with_features(self, features: torch.Tensor, layer: nn.Module) -> Cells:
        return Cells(torch.cat([layer(features)[:, None], self.values], dim=1))


class Embed(nn.Module):
    def __init__(self, shape: RowShape) -> None:
        super().__init__()
        self.scales = nn.Linear(shape.numbers, shape.numbers * WIDTH)
        self.values = nn.Embedding(shape.num_values, WIDTH)

    def forward(self, x: Rows) -> Cells:
        numbers = self.scales(x.numbers).unflatten(1, (-1, WIDTH))
        return Cells(torch.cat([numbers, self.values(x.categories)], dim=1))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, h: Cells) -> Cells:
        return Cells(self.linear(h.values).relu())


def network(input_shape: RowShape, num_classes: int) -> Backbone:
    """An embedding of the cells, and two layers."""
    units = [Embed(input_shape), Layer(), Layer()]
    return kaiming(Backbone(units, pooled_linear(WIDTH, num_classes), input_shape=input_shape, num_classes=num_classes))


@dataclass(frozen=True, eq=False)
class Part:
    x: Rows
    labels: torch.Tensor
    features = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    def digest(self) -> str:
        return digest(*self.x, self.labels)

    def to(self, device: torch.device) -> Part:
        return Part(Rows(*(part.to(device) for part in self.x)), self.labels.to(device))

    def at(self, index: torch.Tensor) -> Part:
        return Part(Rows(*(part[index] for part in self.x)), self.labels[index])


@dataclass(frozen=True)
class Batches:
    part: Part
    batch_size: int

    @property
    def num_batches(self) -> int:
        return len(self.part) // self.batch_size

    def batch(self, seed: int, iteration: int) -> tuple[Rows, torch.Tensor]:
        chosen = self.part.at(
            torch.from_numpy(np.random.default_rng((seed, iteration)).permutation(len(self.part))[: self.batch_size])
        )
        return chosen.x, chosen.labels


@dataclass(frozen=True, eq=False)
class Tables(TaskParts[Part]):
    shape: RowShape
    pixels = vectors = None

    @property
    def input_shape(self) -> RowShape:
        return self.shape

    @property
    def content(self) -> dict[str, Any]:
        return {"data_digest": self.digest}

    @property
    def inputs(self) -> dict[str, Any]:
        return {"kind": f"{HERE}.TableKind", **self.shape._asdict(), "classes": ["low", "middle", "high"]}

    def facts(self, folder: Path) -> dict[str, Any]:
        return {}

    def train_batches(self, batch_size: int, *, limit: ClassLimit | None = None) -> Batches:
        return Batches(self.train, batch_size)

    def random_batches(self, part: Part, batch_size: int) -> Batches:
        return Batches(part, batch_size)

    def eval_batches(self, part: Part, batch_size: int) -> Iterator[tuple[Rows, torch.Tensor]]:
        for index in torch.arange(len(part)).split(batch_size):
            yield part.at(index).x, part.at(index).labels


SHAPE = RowShape(4, 2, 3)


def part(size: int, seed: int) -> Part:
    y = torch.arange(size) % 3
    return Part(SHAPE.toys(y, 3, torch.Generator().manual_seed(seed)), y)


def tables(data_dir: Path) -> Tables:
    """Rows whose numbers grow with the class."""
    return Tables(part(60, 0), part(30, 1), lambda: part(45, 2), 3, shape=SHAPE)


@dataclass(frozen=True)
class NewRows:
    names: list[str]
    x: Rows
    notes: tuple[str, ...] = ()
    fault = None

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, Rows]]:
        yield torch.arange(len(self.names)), self.x


class TableKind(InputKind):
    wanted = "a .rows file"
    fields: Mapping[str, Field] = {name: whole(1, 100) for name in RowShape._fields}  # type: ignore[misc]

    def shape(self, inputs: Mapping[str, Any]) -> RowShape:
        return RowShape(*(inputs[name] for name in RowShape._fields))

    def takes(self, path: Path) -> bool:
        return path.suffix == ".rows"

    def read(self, path: Path, inputs: Mapping[str, Any]) -> NewRows:
        values = torch.from_numpy(np.loadtxt(path, ndmin=2)).float()
        return NewRows([str(row) for row in range(len(values))], Rows(values[:, :4], values[:, 4:].long()))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


ASKED: dict[str, Any] = {"iterations": 40, "batch_size": 20, "lr": 0.1}
TASK = f"{HERE}.tables"


def test_it_is_trained_and_answers_new_rows_early() -> None:
    assert isinstance(SHAPE, InputShape) and isinstance(Cells(torch.zeros(1, 1, 1)), OwnActivation)
    table = nas.evaluate(SPACE, TASK, decoupling="layerwise", methods=["dgl", "predsim"], seeds=1, exits=True, **ASKED)
    assert len(table) == 2 and (table["test_error"] < 0.2).all()
    new = part(9, 7)
    np.savetxt("new.rows", np.concatenate([columns.numpy() for columns in new.x], axis=1))
    found = nas.predict(f"runs/{table['run'][0]}", "new.rows", threshold=0.5, allow=[HERE])
    right = [answer == ["low", "middle", "high"][label] for answer, label in zip(found["answer"], new.labels, strict=True)]
    assert sum(right) > 6 and found["depth"].min() < 3
    Path("other.csv").touch()
    with pytest.raises(UserError, match=r"answers a \.rows file, got other.csv"):
        nas.predict(f"runs/{table['run'][0]}", "other.csv", allow=[HERE])
    with pytest.raises(UserError, match=f"give --allow {HERE.partition('.')[0]}"):
        nas.predict(f"runs/{table['run'][0]}", "new.rows")


def test_its_costs_are_those_of_its_layers() -> None:
    cost = nas.profile(SPACE, TASK, decoupling="balanced(2)", batch_size=20)
    embed, layer, classifier = 4 * 4 * WIDTH, 6 * WIDTH * WIDTH, 3 * WIDTH
    assert cost.macs == embed + 2 * layer + classifier


def test_it_is_searched() -> None:
    found = nas.search(SPACE, TASK, strategy="random(trials=2)", **ASKED)
    assert found.score.error < 0.5


def test_what_is_for_other_kinds_says_so() -> None:
    with pytest.raises(UserError, match=r"takes images .*, got tables of 4 \+ 2 columns; take a task of images, or"):
        read_space("small", SHAPE, 3)
    with pytest.raises(UserError, match=r"is for texts, got tables of 4 \+ 2 columns"):
        read_space("lstm", SHAPE, 3)


def test_the_contract_of_methods_has_inputs_of_it() -> None:
    space = read_space(SPACE, SHAPE, 3)
    method = MethodCase("dgl", space, "layerwise").build()
    x, y = toy_batch(method)
    assert [loss.item() > 0 for loss in method.losses(x, y)] == [True] * 3
    assert pooled(method.net.blocks[0](x)).shape == (16, WIDTH)
