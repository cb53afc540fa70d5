"""Costs against numbers worked out by hand, and against a real training step."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from methods.dgl import DGL
from methods.early_exit import EarlyExit
from methods.method import Method
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import BlockCost, Cost, cost, timed
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.network import Block, DecoupledNet
from spaces.rules import read_decoupling

CPU = torch.device("cpu")


def two_blocks() -> Method:
    """On (3, 6, 6): 3x3 conv to 4 channels, 6x6 kept | 3x3 conv of stride 2 to 8 channels, 3x3 left; linear heads."""
    blocks = [Block([nn.Conv2d(3, 4, 3, padding=1)]), Block([nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False)])]
    heads = [nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 5)), nn.Sequential(nn.Flatten(), nn.Linear(8 * 9, 5))]
    return DGL(DecoupledNet(blocks, heads, shapes=[], num_classes=5))


def test_parameters_and_macs_by_hand() -> None:
    costs = cost(two_blocks, (3, 6, 6), 5, 7)
    first, second = costs.blocks
    assert (first.units, first.params, first.head_params) == (1, 3 * 4 * 9 + 4, 4 * 36 * 5 + 5)
    assert (second.units, second.params, second.head_params) == (2, 4 * 8 * 9, 8 * 9 * 5 + 5)
    assert (first.macs, first.head_macs) == (36 * 4 * 3 * 9, 4 * 36 * 5)
    assert (second.macs, second.head_macs) == (9 * 8 * 4 * 9, 8 * 9 * 5)
    assert costs.params == 112 + 288 + 365 and costs.head_params == 725
    assert costs.macs == 3888 + 2592 + 360 and costs.head_macs == 720


def test_one_stage_of_two_blocks_costs_their_sum_and_all_their_activations_at_once() -> None:
    """The activations of a plain training step through both losses; of a large batch, as below."""
    apart, joint = (
        cost(lambda kind=kind: kind(two_blocks().net), (3, 6, 6), 5, 1000)  # type: ignore[misc]
        for kind in (DGL, EarlyExit)
    )
    (block,) = joint.blocks
    assert block.blocks == (0, 1) and joint.pipeline_speedup_bound == 1
    for name in ("units", "params", "head_params", "macs", "head_macs"):
        assert getattr(block, name) == sum(getattr(part, name) for part in apart.blocks)
    for name in ("params", "head_params", "macs", "head_macs"):
        assert getattr(joint, name) == getattr(apart, name)
    method, x, y = EarlyExit(two_blocks().net), torch.randn(1000, 3, 6, 6), torch.arange(1000) % 5
    with PeakMemory(leave_out=method.parameters()) as memory:
        h = method.net.blocks[0](x)
        first = method.cross_entropy(method.net.heads[0](h), y)
        h = method.net.blocks[1](h)
        (first + method.cross_entropy(method.net.heads[1](h), y)).backward()
    assert joint.peak_activation_bytes == pytest.approx(memory.peak + x.nbytes, rel=0.02)
    assert joint.peak_activation_bytes > apart.peak_activation_bytes


def test_activation_bytes_by_hand() -> None:
    """Stage 1: images 3x36, conv's output 4x36, logits, log-softmax and its gradient in turn 5 each; then the gradient
    of conv's output 4x36 beside images and activation. Of a large batch, so that weights' gradients do not matter."""
    costs = cost(two_blocks, (3, 6, 6), 5, 1000)
    floats = 3 * 36 + 2 * 4 * 36
    assert costs.blocks[0].activation_bytes == pytest.approx(4 * floats, abs=4 * 10)


def test_a_head_pays_for_all_that_its_stage_computes() -> None:
    """PredSim's second convolution, and the products of N samples with each other, are no part of `forward`."""
    space = read_space("small", (3, 8, 8), 10)
    batch_size, channels, side = 6, 16, 8
    costs = cost(lambda: METHODS.build("predsim", space.build(Decoupling((1,), ("predsim",)))), (3, 8, 8), 10, batch_size)
    linear = 10 * 512  # 16 x 8 x 8 features pooled to 16 x 4 x 8
    projection = side * side * channels * channels * 9
    products = batch_size * channels + batch_size * 10
    assert costs.blocks[0].head_macs == linear + projection + products


def test_the_pipelines_bound_is_the_total_over_the_largest_stage() -> None:
    costs = cost(two_blocks, (3, 6, 6), 5, 4)
    stages = [3888 + 720, 2592 + 360]
    assert costs.shares == pytest.approx([stages[0] / sum(stages), stages[1] / sum(stages)])
    assert costs.pipeline_speedup_bound == pytest.approx(sum(stages) / stages[0])
    block = BlockCost((0,), 1, 1, 1, 10, 0, 0)
    for seconds, bound in (((1.0, 2.0, 5.0), 8 / 5), ((3.0, 3.0, 3.0), 3.0), ((1.0, None, 5.0), 3.0)):
        measured = Cost(tuple(replace(block, seconds=second) for second in seconds), 4, 0, params=3, macs=30)
        assert measured.pipeline_speedup_bound == pytest.approx(bound)


def test_seconds_are_measured_a_stage() -> None:
    space = read_space("small", (3, 8, 8), 10)
    x, y = torch.randn(32, 3, 8, 8), torch.arange(32) % 10

    def build() -> Method:
        return METHODS.build("dgl", space.build(Decoupling((5,), ("linear",))))

    bare = cost(build, (3, 8, 8), 10, 32)
    costs = timed(bare, build(), TrainingSettings(batch_size=32), x, y, device=CPU)
    first, second = (block.seconds for block in costs.blocks)
    assert first is not None and second is not None and first > 0 and second > 0
    assert [replace(block, seconds=None) for block in costs.blocks] == list(bare.blocks)


CASES = [
    *((space, method, "even(3)") for space in ("small", "resnet32") for method in sorted(METHODS)),
    ("small", "dgl", "2:conv(depth=3) 5:mlp_sr"),
    ("small", "dgl", "1:linear 2:linear 3:linear 4:linear 5:linear"),
    ("vgg11", "dgl", "balanced(2)"),
    ("resnet18", "dgl", "4:conv(depth=2,reduction=1)"),
]


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_units", [False, True])
@pytest.mark.parametrize(("name", "method_name", "split"), CASES)
def test_memory_from_shapes_is_that_of_a_real_step(name: str, method_name: str, split: str, checkpoint_units: bool) -> None:
    """What is counted on the meta device is what a step on the CPU has at its peak, and 4 bytes a loss that it keeps."""
    shape, batch_size = ((3, 32, 32) if name in ("vgg11", "resnet18") else (3, 8, 8)), 4
    space, kind = read_space(f"{name}(width=0.25)", shape, 10), traits(method_name)
    point = kind.adapt(read_decoupling(split, space, kind.default_head))

    def build() -> Method:
        net = space.build(point, checkpoint_units=checkpoint_units, head_lookahead=kind.head_lookahead)
        return METHODS.build(method_name, net)

    costs = cost(build, shape, 10, batch_size)
    x, y = torch.randn(batch_size, *shape).to(memory_format=torch.channels_last), torch.arange(batch_size)
    trainer = Trainer(build(), TrainingSettings(batch_size=batch_size), seed=0, device=CPU)
    trainer.step(x, y, 0)
    with PeakMemory(leave_out=trainer.method.parameters()) as memory:
        trainer.step(x, y, 1)
    assert memory.peak + x.nbytes == pytest.approx(costs.peak_activation_bytes, abs=4 * len(costs.blocks))
    assert max(block.activation_bytes for block in costs.blocks) == costs.peak_activation_bytes // batch_size


def test_cutting_finer_never_takes_more_memory_with_small_heads() -> None:
    space = read_space("small", (3, 16, 16), 10)
    points = [Decoupling(cuts, ("linear",) * len(cuts)) for cuts in ((), (3,), (2, 3, 4), (1, 2, 3, 4, 5))]
    peaks = [
        cost(lambda: METHODS.build("dgl", space.build(point)), (3, 16, 16), 10, 64).peak_activation_bytes  # noqa: B023
        for point in points
    ]
    assert all(finer <= coarser for coarser, finer in pairwise(peaks)) and peaks[-1] < 0.7 * peaks[0]


@pytest.mark.parametrize(
    ("spec", "reads"), [("man", [(1,), (2,), ()]), ("man(base=infopro)", [(1,), (2,), ()]), ("contsup", [(), (), ()])]
)
def test_what_stages_read_of_others_is_part_of_the_cost(spec: str, reads: list[tuple[int, ...]]) -> None:
    space = read_space("small(width=0.25)", (3, 8, 8), 5)

    def build() -> Method:
        return METHODS.build(spec, space.build(Decoupling((2, 4), ("linear",) * 2), head_lookahead=int("man" in spec)))

    assert [block.reads for block in cost(build, (3, 8, 8), 5, 4).blocks] == reads
