"""Plans of stages for processes: what each does, sends and holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from methods.contsup import ContSup
from methods.dgl import DGL
from methods.method import Method
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from nas.cost import Cost, StagePlan, cost
from nas.report.network import plan_table
from nas.stage_plan import stage_plan
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.network import Block, DecoupledNet
from spaces.notation.errors import UserError

X, Y = torch.zeros(6, 3, 8, 8), torch.arange(6) % 4
SETTINGS = TrainingSettings(batch_size=6)
CHANNELS = (3, 4, 8, 2)


def build(kind: type[Method] = DGL) -> Method:
    """Three blocks of one convolution each, which hand on 4, 8 and 2 channels of 8 x 8."""
    blocks = [Block([nn.Conv2d(before, after, 3, padding=1)]) for before, after in pairwise(CHANNELS)]
    heads = [nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 4)) for channels in CHANNELS[1:]]
    return kind(DecoupledNet(blocks, heads, shapes=[(channels, 8, 8) for channels in CHANNELS], num_classes=4))


def costs(*seconds: float) -> Cost:
    found = cost(build, (3, 8, 8), 4, 6)
    blocks = [replace(block, seconds=of_stage) for block, of_stage in zip(found.blocks, seconds, strict=True)]
    return replace(found, blocks=tuple(blocks))


def plan(cost: Cost, *, precision: str = "fp32", **how: int) -> StagePlan:
    settings = replace(SETTINGS, precision=precision)  # type: ignore[arg-type]
    return stage_plan(cost, build(), settings, X, Y, name="dgl", **{"processes": 2, "depth": 3, **how})


def test_what_each_process_does_sends_and_holds() -> None:
    found = costs(1.0, 2.0, 4.0)
    first, second = plan(found).processes
    assert (first.stages, first.seconds, second.stages, second.seconds) == ((0, 1), 3, (2,), 4)
    carry = 6 * (8 * 64 * 4) + 6 * 8  # float32 of the second block's channels, and int64 labels
    assert (first.sends_bytes, second.sends_bytes) == (carry, 0)
    peaks = [6 * block.activation_bytes for block in found.blocks]
    assert first.memory_bytes == max(peaks[:2]) + 3 * carry
    assert second.memory_bytes == peaks[2] - X.nbytes  # the images stay with the first
    assert plan(found).bound == 7 / 4
    assert plan(found, processes=3).bound == 7 / 4 and plan(costs(4, 2, 1)).processes[0].stages == (0,)


def test_mixed_precision_halves_what_is_sent() -> None:
    assert plan(costs(1, 2, 4), precision="bf16").processes[0].sends_bytes == 6 * (8 * 64 * 2) + 6 * 8


def test_a_method_that_hands_the_inputs_on_holds_and_sends_them() -> None:
    space = read_space("small(width=0.25)", (3, 8, 8), 4)

    def context() -> Method:
        return METHODS.build("contsup", space.build(Decoupling((2,), ("linear",))))

    assert isinstance(context(), ContSup)
    found = cost(context, (3, 8, 8), 4, 6)
    found = replace(found, blocks=tuple(replace(block, seconds=1.0) for block in found.blocks))
    first, second = stage_plan(found, context(), SETTINGS, X, Y, name="contsup", processes=2, depth=1).processes
    assert first.sends_bytes > X.nbytes and second.memory_bytes == 6 * found.blocks[1].activation_bytes


def test_methods_that_cannot_be_parted_are_refused() -> None:
    with pytest.raises(UserError, match="fewer processes"):
        plan(costs(1, 2, 4), processes=4)


def test_the_plan_as_text() -> None:
    text = plan_table(plan(costs(1, 2, 4)))
    assert "0-1" in text and "3000.0" in text and "57.1" in text and "12.0" in text
    assert "2 processes side by side: 1.75 times" in text and "up to 3 carries" in text
