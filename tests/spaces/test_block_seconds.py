"""Blocks' seconds from those of their parts, the cuts that they give, and what measuring leaves as it was."""

from __future__ import annotations

import itertools
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from torch import nn

import nas
from spaces import block_seconds as measuring
from spaces.activation import TextShape
from spaces.block_seconds import PartSeconds, block_seconds, part_seconds
from spaces.model_space import ModelSpace
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import _measured, read_decoupling


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "FEWEST", 1)
    monkeypatch.setattr(measuring, "ENOUGH_SECONDS", 0.0)
    _measured.cache_clear()


PARTS = PartSeconds(
    first=(1.0, 2.0, 9.0, 1.0, 3.0, 1.0),
    inner=(1.0, 3.0, 10.0, 2.0, 4.0, 2.0),
    again=(0.5, 1.0, 4.0, 0.0, 1.0, 0.5),
    heads={1: 2.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 3.0, 6: 1.0},
)


def test_a_block_is_its_units_and_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "part_seconds", lambda *given, **named: PARTS)
    seconds = block_seconds(read_space("small", (3, 8, 8), 10), "linear", batch_size=4)
    plain = PARTS._replace(again=(0.0,) * 6)
    monkeypatch.setattr(measuring, "part_seconds", lambda *given, **named: plain)
    without = block_seconds(read_space("small", (3, 8, 8), 10), "linear", batch_size=4)
    assert without(0, 1) == 1 + 2 and without(1, 4) == 2 + 10 + 2 + 0.5 and without(4, 6) == 3 + 2 + 1
    assert seconds(1, 4) == without(1, 4) + 1 + 4  # all but the last run again
    assert seconds(5, 6) == without(5, 6)


@pytest.mark.parametrize("num_blocks", [2, 3, 6])
def test_the_slowest_block_is_the_fastest_of_all_cuts(monkeypatch: pytest.MonkeyPatch, num_blocks: int) -> None:
    asked = []

    def given(*what: Any, **named: Any) -> PartSeconds:
        asked.append(named)
        return PARTS

    monkeypatch.setattr(measuring, "part_seconds", given)
    space = read_space("small", (3, 8, 8), 10)
    seconds = block_seconds(space, "linear", batch_size=4)

    def slowest(cuts: tuple[int, ...]) -> float:
        return max(seconds(start, stop) for start, stop in pairwise((0, *cuts, 6)))

    found = [read_decoupling(f"balanced({num_blocks},by=seconds)", space, "linear", batch_size=8) for _ in range(2)]
    assert slowest(found[0].cuts) == min(map(slowest, combinations(range(1, 6), num_blocks - 1)))
    assert found[0] == found[1] and len(asked) == 2, "measured once for all runs of a command"
    assert asked[1] == {"batch_size": 8, "checkpoint_units": False}
    read_decoupling(f"balanced({num_blocks},by=seconds,batch_size=5,checkpoint_units=True)", space, "linear", batch_size=8)
    assert asked[2] == {"batch_size": 5, "checkpoint_units": True}


@pytest.mark.parametrize("checkpoint_units", [False, True])
def test_every_part_is_measured(checkpoint_units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(measuring, "seconds_on", lambda device: float(next(ticks)))
    space = read_space("resnet18(width=0.25)", (3, 8, 8), 10)
    parts = part_seconds(space, "linear", batch_size=2, checkpoint_units=checkpoint_units)
    assert parts.first == parts.inner == (2.0,) * space.num_units and {*parts.heads} == {*range(1, space.num_units + 1)}
    assert (max(parts.again) > 0) == checkpoint_units  # of blocks that no lean form runs


@pytest.mark.parametrize("name", ["linear", "lstm", "transformer"])
def test_parts_of_text_networks_are_measured(name: str) -> None:
    space = read_space(name, TextShape(20, 6), 3)
    parts = part_seconds(space, "linear", batch_size=2)
    assert len(parts.first) == len(parts.inner) == space.num_units and min(*parts.first, *parts.heads.values()) > 0


def test_the_users_model_and_random_numbers_stay_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    example = torch.randn(2, 3, 8, 8)
    model.eval()
    drawn = torch.random.get_rng_state()
    found = read_decoupling("balanced(2,by=seconds)", ModelSpace(model, example), "linear")
    assert found.num_blocks == 2 and torch.equal(torch.random.get_rng_state(), drawn)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in model.modules()) and all(p.grad is None for p in model.parameters())
    net = nas.decouple(model, "balanced(2,by=seconds,batch_size=4)", example=example)
    assert len(net.decoupling.cuts) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("balanced(2,batch_size=8)", "batch_size is for balanced"),
        ("balanced(2,by=seconds,batch_size=1)", "from 2 on, got 1"),
        ("balanced(2,by=bites)", "bytes"),
        ("balanced(9,by=seconds)", "got 9"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_decoupling(text, read_space("small", (3, 8, 8), 10), "linear")
