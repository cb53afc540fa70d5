"""Activation bytes against sizes counted by hand, on the CPU and on the meta device alike, and against whole networks."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch
from torch import nn

from methods.dgl import DGL
from nas.cost import cost
from spaces.backbone import Site
from spaces.backbones import BACKBONES
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.layers.layers import conv_bn_relu
from spaces.memory.peak_memory import PeakMemory, footprint, likeness
from spaces.named import read_space
from spaces.network import Block
from spaces.rules import block_bytes

DEVICES = ["cpu", "meta"]
FLOAT, NUMBERS = 4, 1000
ONE = FLOAT * NUMBERS  # bytes of a tensor of the small chains
SCALARS = 2 * FLOAT  # a sum, and the gradient 1 that its backward pass begins with


def numbers(device: str, *, requires_grad: bool = False) -> torch.Tensor:
    return torch.zeros(NUMBERS, device=device, requires_grad=requires_grad)


@pytest.mark.parametrize("device", DEVICES)
def test_a_chain_without_gradients_holds_two_at_once(device):
    x = numbers(device)
    with PeakMemory() as memory:
        for _ in range(5):
            x = x.exp()
        assert memory.current == ONE
    assert memory.peak == 2 * ONE


@pytest.mark.parametrize("device", DEVICES)
def test_what_a_backward_pass_keeps(device):
    """exp keeps its result: 3 kept, then beside them one gradient; each is freed as it is used, unless held by name."""
    x = numbers(device, requires_grad=True)
    with PeakMemory(leave_out=[x]) as memory:
        y = x.exp().exp().exp()
        assert memory.current == 3 * ONE
        end = y.sum()
        del y
        end.backward()
    assert memory.peak == 3 * ONE + ONE + SCALARS
    with PeakMemory(leave_out=[x]) as memory:
        y = x.exp().exp().exp()
        y.sum().backward()
        assert memory.current == ONE, "only what has a name; the gradient of x is left out"
    assert memory.peak == 3 * ONE + 2 * ONE + SCALARS


@pytest.mark.parametrize("device", DEVICES)
def test_a_linear_network(device):
    """x (8, 5) -> 7 -> ReLU -> 3: kept are the linear layers' inputs and what has a name."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).to(device)
    with PeakMemory(leave_out=net.parameters()) as memory:
        y = net(torch.empty(8, 5, device=device))
        assert memory.current == FLOAT * 8 * (5 + 7 + 3)
        assert memory.peak == FLOAT * 8 * (5 + 7 + 7), "the input is there while the ReLU runs"
        y.sum().backward()
        assert memory.current == FLOAT * 8 * 3, "gradients of parameters do not count"
    weights = FLOAT * sum(p.numel() for p in net.parameters())
    with PeakMemory() as memory:
        net(torch.empty(8, 5, device=device)).sum().backward()
    assert memory.current == 0, "the gradients were there already; they are added to"
    net.zero_grad(set_to_none=True)
    with PeakMemory() as memory:
        net(torch.empty(8, 5, device=device)).sum().backward()
        assert memory.current == weights


@pytest.mark.parametrize("device", DEVICES)
def test_views_and_work_in_place_take_nothing(device):
    x = numbers(device)
    with PeakMemory() as memory:
        y = x.view(10, 100).t().detach().unsqueeze(0).expand(7, 100, 10)
        y[0].mul_(2).add_(1)
        x.relu_()
        assert memory.peak == memory.current == 0
        a, b = x.split(500)
        assert memory.peak == 0
        c = torch.cat([a, b])
        assert memory.peak == ONE
        c.resize_(1)
    assert memory.peak == ONE


@pytest.mark.parametrize("device", DEVICES)
def test_what_outlives_the_counting_is_no_trouble(device):
    with PeakMemory() as memory:
        x = numbers(device)
    y = x + 1
    assert memory.current == ONE
    del x
    assert memory.current == 0 and memory.peak == ONE
    with PeakMemory() as other:
        del y
        numbers(device)
    assert other.current == 0 and other.peak == ONE


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet50", "resnet32", "small"])
def test_the_meta_device_counts_what_the_cpu_counts(name):
    counts = []
    for device in DEVICES:
        with torch.device(device):
            net, x = BACKBONES[name]((3, 32, 32), 10, width=0.25), torch.zeros(2, 3, 32, 32)
        with PeakMemory(leave_out=net.parameters()) as memory:
            y = net(x)
            kept = memory.current
            y.sum().backward()
        counts.append((kept, memory.peak, memory.current))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("spec", [*sorted({*HEADS} - {"dense"}), "conv(depth=4)"])  # a classifier has one number a class
def test_the_meta_device_counts_heads_as_the_cpu_does(spec):
    counts = []
    for device in DEVICES:
        with torch.device(device):
            head = HEADS.build(spec, Site((8, 9, 9), 10, 1, BACKBONES["small"]((3, 9, 9), 10, width=0.5)))
            h = torch.zeros(3, 8, 9, 9, requires_grad=True)
        with PeakMemory(leave_out=head.parameters()) as memory:
            head(h).sum().backward()
        counts.append(memory.peak)
    assert counts[0] == counts[1]


@pytest.fixture(autouse=True)
def few_parts(monkeypatch):
    """Lean units loop over parts of the batch; two are as good as many here, and faster."""
    monkeypatch.setattr("spaces.layers.lean_unit.MOST_PARTS", 2)
    monkeypatch.setattr("spaces.layers.lean_unit.PART", 64)


def on_meta(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).to("meta")


def test_the_footprint_of_a_conv_unit():
    """conv -> BN -> ReLU in place, 3 -> 8 channels on 6 x 6: x, the convolution's z and y are kept. In the ReLU's backward
    pass x, z, y, the gradient given and the one passed on are alive; in the convolution's the gradient of z, x and its
    gradient, if it needs one, and y only if it is held."""
    one, x = FLOAT * 8 * 36, FLOAT * 3 * 36
    unit = conv_bn_relu(3, 8).to("meta")
    for first in (True, False):
        print_ = footprint(unit, (3, 6, 6), first=first)
        assert (print_.kept, print_.keeps_input, print_.keeps_output) == (one, True, True)
        assert print_.peak == x + 4 * one
        assert footprint(unit, (3, 6, 6), first=first, last=True).peak == x + 4 * one
    wide = conv_bn_relu(48, 8).to("meta")  # here the gradient of x decides: with dz and x, or with y too
    x = FLOAT * 48 * 36
    assert footprint(wide, (48, 6, 6), first=True).peak == x + 4 * one
    assert footprint(wide, (48, 6, 6)).peak == one + 2 * x
    assert footprint(wide, (48, 6, 6), last=True).peak == 2 * one + 2 * x


def test_the_footprint_of_a_lean_unit(monkeypatch):
    """In 32 parts. It keeps x alone; its backward pass holds x, z and the gradient given, then z, that gradient and x's.
    x is let go before, unless it is held."""
    monkeypatch.setattr("spaces.layers.lean_unit.MOST_PARTS", 32)
    one, x = FLOAT * 8 * 36, FLOAT * 48 * 36
    unit = Block([conv_bn_relu(48, 8).to("meta")], checkpoint_units=True)
    found = footprint(unit, (48, 6, 6))
    assert (found.kept, found.keeps_input, found.keeps_output) == (0, True, False)
    assert found.peak == pytest.approx(2 * one + x, rel=0.02)
    assert footprint(unit, (48, 6, 6), held=True).peak == pytest.approx(2 * one + 2 * x, rel=0.02)


def test_the_footprint_of_pooling_and_linear_layers():
    pooled = on_meta(nn.MaxPool2d(2))
    x, values, places = FLOAT * 4 * 36, FLOAT * 4 * 9, 8 * 4 * 9  # places are int64
    found = footprint(pooled, (4, 6, 6))
    assert (found.kept, found.keeps_input, found.keeps_output) == (places, True, False)
    assert found.peak == places + values + 2 * x, "the places, the gradient given, x and its gradient"
    assert footprint(pooled, (4, 6, 6), first=True).peak == x + values + places, "no backward pass"
    linear = on_meta(nn.Flatten(), nn.Linear(144, 10))
    found = footprint(linear, (4, 6, 6))
    assert (found.kept, found.keeps_input, found.keeps_output) == (0, True, False)
    assert found.peak == FLOAT * (10 + 2 * 144)
    assert footprint(linear, (4, 6, 6), last=True).peak == FLOAT * (2 * 10 + 2 * 144)


def test_the_footprint_does_not_grow_with_weights_and_leaves_nothing_behind():
    large = on_meta(nn.Linear(4, 100_000), nn.Linear(100_000, 4))
    assert footprint(large, (4,)).kept == FLOAT * 100_000
    assert all(p.grad is None for p in large.parameters())
    assert not large[0].weight._post_accumulate_grad_hooks


def test_modules_are_alike_where_they_compute_alike():
    def net(**settings) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3, **settings), nn.ReLU(), nn.Dropout(settings.get("groups", 1) / 2))

    assert likeness(net()) == likeness(net()) == likeness(net().to("meta"))
    others = [
        net(stride=2),
        net(bias=False),
        net(padding=1),
        nn.Sequential(*list(net())[:2]),
        nn.Sequential(nn.Linear(3, 4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        nn.Conv2d(3, 5, 3),
        net()[0],
        Block([*net()]),
        Block([*net()], checkpoint_units=True),
    ]
    assert len({likeness(module) for module in [net(), *others]}) == 1 + len(others)


CASES = [("vgg11", 2), ("small", 3), ("resnet18", 2), ("resnet32", 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "num_decouplings"), CASES)
@pytest.mark.parametrize("checkpoint_units", [False, True])
def test_block_bytes_are_what_the_whole_networks_training_step_takes(name, num_decouplings, checkpoint_units):
    """The batch is so large that what does not grow with it and what the loss keeps (3 numbers a class) vanish."""
    space, rng = read_space(name, (3, 32, 32), 10), random.Random(f"{name}{checkpoint_units}")
    for _ in range(num_decouplings):
        cuts = tuple(sorted(rng.sample(range(1, space.num_units), rng.randint(1, 4))))
        head = rng.choice(["linear", "mlp_sr", "conv(depth=2)"])
        decoupling = Decoupling(cuts, (head,) * len(cuts))
        found = cost(lambda d=decoupling: DGL(space.build(d, checkpoint_units=checkpoint_units)), (3, 32, 32), 10, 2**20)
        bytes_of = block_bytes(space, head, checkpoint_units=checkpoint_units)
        expected = [block.activation_bytes for block in found.blocks]
        ours = [bytes_of(start, stop) for start, stop in pairwise((0, *cuts, space.num_units))]
        assert ours == pytest.approx(expected, abs=3 * 10 * FLOAT), decoupling


@pytest.mark.parametrize("checkpoint_units", [False, True])
def test_block_bytes_are_what_a_real_training_step_takes(checkpoint_units):
    """On the CPU; the difference between two batch sizes is an image's share."""
    space, cuts = read_space("small(width=0.5)", (3, 16, 16), 10), (2, 3)
    net = space.build(Decoupling(cuts, ("linear", "linear")), checkpoint_units=checkpoint_units)
    peaks = []
    for batch in (64, 128):
        x, y = torch.randn(batch, 3, 16, 16), torch.zeros(batch, dtype=torch.long)
        carry, of_batch = x, []
        for k, (block, head) in enumerate(zip(net.blocks, net.heads, strict=True)):
            given = carry.detach()
            with PeakMemory(leave_out=[*block.parameters(), *head.parameters()]) as memory:
                carry = block(given)
                nn.functional.cross_entropy(head(carry), y).backward()
            of_batch.append(memory.peak + x.nbytes + (given.nbytes if k > 0 else 0))
            net.zero_grad(set_to_none=True)
        peaks.append(of_batch)
    bytes_of = block_bytes(space, "linear", checkpoint_units=checkpoint_units)
    ours = [bytes_of(start, stop) for start, stop in pairwise((0, *cuts, 6))]
    assert ours == pytest.approx([(large - small) // 64 for small, large in zip(*peaks, strict=True)], rel=0.01)
