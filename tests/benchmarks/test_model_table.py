"""The trials of the table of models say no where something does not work."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
import torch
from torch import nn

from benchmarks.model_table import (
    YES,
    Network,
    Skipping,
    answer,
    beside_the_original,
    checkpointing,
    compared,
    exits,
    images,
    trains,
)
from spaces.model_space import ModelSpace
from spaces.notation.errors import UserError

NETWORK = Network("own", "Skipping", Skipping, images(8))


def space_of(network: Network) -> ModelSpace:
    return ModelSpace(network.model(), network.example(2), heads=["linear"])


def test_a_network_that_works_does() -> None:
    space = space_of(NETWORK)
    assert set(beside_the_original(NETWORK, space.plan).values()) == {YES}
    assert (trains(NETWORK, space, "dgl"), exits(NETWORK, space)) == (YES, YES)
    assert trains(NETWORK, space, "dgl", "conv") == YES


def test_numbers_that_differ_are_told() -> None:
    one = torch.ones(3)
    assert compared([(one, one.clone())]) == YES
    assert compared([(one, one.clone()), (4 * one, 4 * one + 0.04)]) == "differ by 1e-02"
    assert compared([(one, None)]) == "some are missing"


def test_another_network_is_not_equal() -> None:
    number = count()

    def make() -> nn.Module:
        torch.manual_seed(next(number))
        return Skipping()

    found = beside_the_original(replace(NETWORK, make=make), space_of(NETWORK).plan)
    assert found["outputs"] != YES and found["gradients"] != YES and found["inference"] != YES


def test_what_is_not_finite_does_not_train() -> None:
    space = space_of(NETWORK)
    with torch.no_grad():
        space.model.stages[3][0].weight.fill_(float("nan"))
    assert trains(NETWORK, space, "dgl") == "a loss is not finite"


def test_a_unit_that_checkpointing_changes_is_told() -> None:
    class Counts(nn.Module):
        """Computes something else each time."""

        def __init__(self) -> None:
            super().__init__()
            self.calls, self.scale = count(), nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x * self.scale + next(self.calls))

    def make() -> nn.Module:
        model = Skipping()
        model.stages[0] = nn.Sequential(model.stages[0], Counts())
        return model.double()

    network = replace(NETWORK, make=make)
    assert checkpointing(network, space_of(network)) != YES


def test_a_refusal_is_its_rule() -> None:
    def refuse() -> str:
        raise UserError("a rule holds, got none; give one")

    assert answer(refuse) == "a rule holds, got none"
    with pytest.raises(ZeroDivisionError):
        answer(lambda: str(1 / 0))
