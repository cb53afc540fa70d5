"""Which units write into what they are given, found on the meta device, and who is given copies."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spaces.activation import Tokens
from spaces.backbone import Backbone
from spaces.decoupling import Decoupling
from spaces.memory.in_place import BatchNormFromShapes, is_kept_apart, traced
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.rules import block_bytes
from spaces.space import SearchSpace

SHAPE = (3, 8, 8)


class Does(nn.Module):
    """Whatever a function does, then a 1x1 convolution."""

    def __init__(self, function: Any, inputs: int, outputs: int) -> None:
        super().__init__()
        self.function, self.conv = function, nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.function(x))


def sliced(x: torch.Tensor) -> torch.Tensor:
    x[:, :1] = 0
    return x


WRITES = [
    lambda x: x.add_(1),
    lambda x: x.mul_(1.5),
    F.relu_,
    F.hardtanh_,
    sliced,
    lambda x: F.dropout(x, 0.5, True, True),
    lambda x: x.view(len(x), -1).neg_().view_as(x),
    lambda x: x.detach().copy_(x + 1),
    nn.ELU(inplace=True),
    lambda x: torch.add(x, 1, out=x),
]
LEAVES = [F.relu, lambda x: x.clone().mul_(2), nn.ReLU(), lambda x: x.flatten(1).view_as(x), lambda x: x]


@pytest.mark.parametrize("function", WRITES + LEAVES)
def test_what_a_module_writes_into_is_seen_without_computing(function: Any) -> None:
    module, x = Does(function, 3, 4), torch.randn(2, *SHAPE)
    before = x.clone()
    made, written = traced(module, torch.empty(2, *SHAPE, device="meta"))
    module(x)
    assert bool(written) == (function in WRITES) == (not torch.equal(x, before))
    assert made.shape == (2, 4, 8, 8)  # type: ignore[union-attr]


def chain(input_shape: tuple[int, ...], num_classes: int) -> Backbone:
    """The second unit writes into its input, which is the first's; the third is given another tensor, which it leaves."""
    units = [nn.Flatten(1), nn.ReLU(inplace=True), nn.Linear(192, 8), nn.Tanh(), nn.Dropout(0.5, inplace=True)]
    return Backbone(units, nn.Linear(8, num_classes), input_shape=input_shape, num_classes=num_classes)


def test_memory_that_units_hand_on_counts() -> None:
    space = SearchSpace(f"{__name__}.chain", ["linear"], input_shape=SHAPE, num_classes=4)
    found = {(i, j) for i in range(5) for j in range(i + 1, 6) if space.template.overwrites(i, j)}
    assert found == {(0, j) for j in range(2, 6)} | {(1, j) for j in range(2, 6)} | {(4, 5)}
    net = space.build(Decoupling((1, 4), ("linear",) * 2))
    assert [is_kept_apart(block) for block in net.blocks] == [False, True, True]


def test_tokens_are_seen_too() -> None:
    class Mutes(nn.Module):
        def forward(self, h: Tokens) -> Tokens:
            return h._replace(values=h.values.masked_fill_(~h.mask[..., None], 0))

    given = Tokens(torch.zeros(2, 3, 4, device="meta"), torch.ones(2, 3, dtype=torch.bool, device="meta"))
    assert traced(Mutes(), given)[1] == {given.values.untyped_storage()._cdata}


@pytest.mark.parametrize("name", ["small", "vgg11", "resnet18", "resnet32"])
def test_no_network_of_ours_pays_for_it(name: str) -> None:
    net = read_space(name, (3, 32, 32), 10).build(Decoupling((2, 4), ("conv", "linear")))
    assert not any(map(is_kept_apart, net.modules()))


def preactivation(input_shape: tuple[int, ...], num_classes: int, *, inplace: bool = True) -> Backbone:
    def unit(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.ReLU(inplace=inplace), nn.Conv2d(inputs, 6, 3, padding=1), nn.BatchNorm2d(6))

    classifier = nn.Sequential(nn.ReLU(inplace=inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, num_classes))
    return Backbone(
        [unit(input_shape[0]), *(unit(6) for _ in range(3))], classifier, input_shape=input_shape, num_classes=num_classes
    )


def preactivation_space(inplace: bool) -> SearchSpace:
    return SearchSpace(f"{__name__}.preactivation(inplace={inplace})", ["linear"], input_shape=SHAPE, num_classes=4)


def test_a_copy_is_made_where_a_block_begins_and_nowhere_else(operator_calls: Any) -> None:
    for inplace, copies in ((False, 0), (True, 3)):  # two blocks and the classifier
        net = preactivation_space(inplace).build(Decoupling((2,), ("linear",)))
        with operator_calls() as calls:
            net(torch.randn(2, *SHAPE)).sum().backward()
        assert calls.of[torch.ops.aten.clone] == copies


def test_units_that_are_computed_again_find_their_input() -> None:
    torch.manual_seed(0)
    x, results = torch.randn(4, *SHAPE), []
    for checkpoint_units in (False, True):
        torch.manual_seed(0)
        net = preactivation_space(True).build(Decoupling(), checkpoint_units=checkpoint_units)
        net(x).square().sum().backward()
        results.append([p.grad for p in net.parameters()])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("checkpoint_units", [False, True])
def test_the_memory_of_blocks_has_their_copies(checkpoint_units: bool) -> None:
    """The figure by which cuts are balanced, against running the block."""
    space, peaks = preactivation_space(True), []
    for batch in (64, 128):
        with torch.device("meta"):
            net = space.build(Decoupling((2,), ("linear",)), checkpoint_units=checkpoint_units)
            x, h = torch.empty(batch, *SHAPE), torch.empty(batch, 6, 8, 8)
            with PeakMemory(leave_out=net.parameters()) as memory:
                handed_on = net.blocks[1](h)  # which the method does
                net.heads[1](handed_on).sum().backward()
        peaks.append(memory.peak + x.nbytes + h.nbytes)
    expected = (peaks[1] - peaks[0]) / 64
    assert block_bytes(space, "linear", checkpoint_units=checkpoint_units)(2, 4) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_from_shapes_is_like_its_input_and_refuses_what_batch_norm_refuses(training: bool) -> None:
    layer = nn.BatchNorm2d(4, device="meta").train(training)
    x = torch.empty(2, 4, 3, 5, device="meta").to(memory_format=torch.channels_last)
    expected = layer(x)
    with torch.no_grad(), BatchNormFromShapes():
        made = layer(x)
        assert (made.shape, made.stride(), made.dtype) == (expected.shape, expected.stride(), expected.dtype)
        assert made.untyped_storage()._cdata != x.untyped_storage()._cdata
        with pytest.raises(RuntimeError, match="running_mean should contain 5 elements not 4"):
            layer(torch.empty(2, 5, 3, 5, device="meta"))
