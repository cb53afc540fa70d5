"""The decoupled network against the plain backbone, and checkpointed units against plain ones."""

from __future__ import annotations

import random

import pytest
import torch
from own_networks import OWN
from torch import nn
from torch.nn import functional as F

from spaces.activation import TextShape, numbers
from spaces.backbones import BACKBONES
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.network import Block, DecoupledNet
from spaces.space import SearchSpace

SHAPE = (3, 32, 32)


def cut_at_random(space: SearchSpace, seed: int) -> Decoupling:
    rng = random.Random(seed)
    cuts = tuple(sorted(rng.sample(range(1, space.num_units), min(3, space.num_units - 1))))
    return Decoupling(cuts, ("linear",) * len(cuts))


TEXTS = ("linear", "lstm", "transformer")


@pytest.mark.parametrize("name", BACKBONES)
def test_blocks_and_classifier_are_the_plain_backbone(name):
    settings = {"prefix": "of='vgg11(width=0.25)',units=5", "torchvision": "name=resnet18", "timm": "name=resnet10t"}
    spec = OWN if name == "module" else f"{name}({settings.get(name, 'width=0.25')})"
    space = read_space(name, TextShape(9, 50), 10) if name in TEXTS else read_space(spec, SHAPE, 10)
    decoupling = cut_at_random(space, 0)
    torch.manual_seed(0)
    plain = space.build_backbone()
    torch.manual_seed(0)
    net = space.build(decoupling)
    x = torch.randint(1, 50, (2, 9)) if name in TEXTS else torch.randn(2, *SHAPE)
    for training in (True, False):
        torch.manual_seed(1)
        expected = plain.train(training)(x)
        torch.manual_seed(1)
        assert torch.equal(net.train(training)(x), expected)
    h = x
    for stop, block, expected_units in zip(
        (*decoupling.cuts, space.num_units), net.blocks, decoupling.blocks(space.num_units), strict=True
    ):
        h = block(h)
        through = x
        for unit in plain.units[:stop]:
            through = unit(through)
        assert all(map(torch.equal, numbers(h), numbers(through))) and len(block) == len(expected_units)


def step(net: DecoupledNet, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """Local losses, gradients and buffers of one training step, a stage at a time."""
    torch.manual_seed(7)
    losses = []
    for block, head in zip(net.blocks, net.heads, strict=True):
        x = block(x.detach())
        loss = F.cross_entropy(head(x), y)
        loss.backward()
        losses.append(loss.detach())
    return [*losses, *(p.grad for p in net.parameters()), *net.buffers()]


@pytest.mark.parametrize("name", ["small", "vgg11", "resnet18", "resnet32"])
@pytest.mark.parametrize("cut", [False, True])
def test_checkpointing_changes_nothing_but_rounding(name, cut):
    """Loss, gradients, running statistics and their counts, in float64; dropout in VGG's classifier draws the same."""
    space = read_space(f"{name}(width=0.25)", SHAPE, 10)
    results = []
    for checkpoint_units in (False, True):
        torch.manual_seed(0)
        net = space.build(cut_at_random(space, 1) if cut else Decoupling(), checkpoint_units=checkpoint_units).double()
        x, y = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(3)).double(), torch.arange(4)
        before = x.clone()
        results.append([tensor.clone() for _ in range(2) for tensor in step(net, x, y)])
        assert torch.equal(x, before)
    torch.testing.assert_close(results[1], results[0], rtol=1e-8, atol=1e-10)


class Awkward(nn.Module):
    """Dropout, running statistics of two kinds, and missing ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.Sequential(
            nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True), nn.BatchNorm2d(4, track_running_stats=False)
        )
        self.runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return F.dropout(self.norms(self.conv(x)).tanh(), 0.3, self.training)


def awkward_block(checkpoint_units: bool) -> Block:
    torch.manual_seed(0)
    return Block([Awkward() for _ in range(4)], checkpoint_units=checkpoint_units)


def test_checkpointed_units_with_dropout_and_statistics_of_any_kind_change_no_bit():
    results = []
    for checkpoint_units in (False, True):
        block = awkward_block(checkpoint_units)
        x = torch.randn(3, 4, 5, 5, requires_grad=True)
        for _ in range(3):
            (block(x) ** 2).sum().backward()
        results.append([x.grad, *(p.grad for p in block.parameters()), *block.buffers(), torch.get_rng_state()])
    assert all(torch.equal(ours, plain) for ours, plain in zip(results[1], results[0], strict=True))
    assert int(block[0].norms[0].num_batches_tracked) == 3


def test_only_what_must_is_computed_again():
    block = awkward_block(True)
    x = torch.randn(3, 4, 5, 5)
    buffers = dict(block.named_buffers())
    block(x).sum().backward()
    assert [unit.runs for unit in block] == [2, 2, 2, 1], "the last unit's backward pass comes first"
    assert all(tensor is buffers[name] for name, tensor in block.named_buffers()), "the buffers themselves are back"
    with torch.no_grad():
        block(x)
    block.eval()(x).sum().backward()
    assert [unit.runs for unit in block] == [5, 5, 5, 3]


class Centred(nn.Conv2d):
    """A convolution of a user's own, with centred weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean(), None)


class Skipping(nn.Sequential):
    """A unit of a user's own, with a shortcut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda conv: nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU()),
        lambda conv: nn.Sequential(nn.MaxPool2d(2), conv, nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        lambda conv: nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), conv, nn.BatchNorm2d(4), nn.ReLU()),
        lambda conv: nn.Sequential(nn.MaxPool2d(2, dilation=2), conv, nn.BatchNorm2d(4), nn.ReLU()),
        lambda conv: nn.Sequential(conv, nn.BatchNorm2d(4, affine=False), nn.ReLU()),
        lambda conv: nn.Sequential(conv, nn.BatchNorm2d(4, momentum=None), nn.ReLU()),
        lambda conv: nn.Sequential(conv, nn.BatchNorm2d(4, momentum=0.5, eps=0.1), nn.ReLU()),
        lambda conv: Skipping(conv, nn.BatchNorm2d(4), nn.ReLU()),
        lambda conv: nn.Sequential(Centred(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        lambda conv: nn.Sequential(nn.Conv2d(4, 4, 3, padding="same", bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        lambda conv: nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, bias=False, padding_mode="circular"), nn.BatchNorm2d(4), nn.ReLU()
        ),
    ],
)
def test_a_unit_of_any_kind_computes_the_same_when_checkpointed(make):
    results = []
    for checkpoint_units in (False, True):
        torch.manual_seed(0)
        unit = make(nn.Conv2d(4, 4, 3, padding=1, bias=False))
        block = Block([unit, nn.Identity()], checkpoint_units=checkpoint_units).double()
        x = torch.randn(3, 4, 7, 7).double().requires_grad_()
        for _ in range(2):
            (block(x) ** 2).sum().backward()
        results.append([x.grad, *(p.grad for p in block.parameters()), *block.buffers()])
    torch.testing.assert_close(results[1], results[0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["small", "vgg11", "resnet18", "resnet32"])
def test_checkpointing_needs_less_memory(name):
    peaks = []
    for checkpoint_units in (False, True):
        space = read_space(f"{name}(width=0.25)", SHAPE, 10)
        torch.manual_seed(0)
        net = space.build(Decoupling(), checkpoint_units=checkpoint_units)
        with PeakMemory(leave_out=net.parameters()) as memory:
            F.cross_entropy(net.heads[0](net.blocks[0](torch.randn(16, *SHAPE))), torch.zeros(16, dtype=torch.long)).backward()
        peaks.append(memory.peak)
    assert peaks[1] < (0.75 if name != "resnet32" else 0.5) * peaks[0]
