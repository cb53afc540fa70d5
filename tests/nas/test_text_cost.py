"""What text networks cost: MACs by hand, memory against real steps and in balanced splits, and that fused attention stays."""

from collections.abc import Callable
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch

from methods.al import AL
from methods.dgl import DGL
from methods.method import Method
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost
from nas.strategies.sedona.block_cost import block_seconds
from nas.strategies.sedona.second_order import twice_differentiable
from spaces.activation import PADDING, TextShape
from spaces.decoupling import Decoupling
from spaces.memory.attention import FUSED_ON_CPU
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.network import DecoupledNet
from spaces.rules import block_bytes, read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
SHAPE, CLASSES = TextShape(24, 50), 4
SPACES = (
    "linear(embedding=20,hidden=16,depth=3)",
    "lstm(embedding=20,hidden=16,depth=3)",
    "transformer(embedding=22,ffn=30,depth=3)",
)


def space_of(text: str) -> SearchSpace:
    return read_space(text, SHAPE, CLASSES)


def macs(text: str) -> tuple[list[int], int]:
    """Of each block, and of the classifier, when every unit is a block."""
    space = space_of(text)
    found = cost(lambda: DGL(space.build(read_decoupling("layerwise", space, "linear"))), SHAPE, CLASSES, 3)
    for block, shape in zip(found.blocks, space.template.shapes[1:-1], strict=False):
        mean = shape[0] * shape[1] if len(shape) == 2 else 0
        assert block.head_macs == mean + shape[-1] * CLASSES
    return [block.macs for block in found.blocks], found.blocks[-1].head_macs


def test_macs_by_hand() -> None:
    """A head's mean over T tokens of D features is T D."""
    length, inputs, hidden = SHAPE.length, 20, 16
    assert macs(SPACES[0]) == ([0, length * inputs + inputs * hidden, hidden * hidden, hidden * hidden], hidden * CLASSES)
    first, following = (2 * length * 4 * hidden * (width + hidden) for width in (inputs, 2 * hidden))
    assert macs(SPACES[1]) == ([0, first, following, following], 2 * hidden * (CLASSES + length))
    width = 4 * 6  # 4 heads of 22 / 4, rounded up
    attention = length * 22 * 3 * width + 2 * length * length * width + length * width * 22
    assert macs(SPACES[2]) == ([0, *[attention + 2 * length * 22 * 30] * 3], 22 * (CLASSES + length))


@pytest.mark.parametrize("checkpoint_units", [False, True])
@pytest.mark.parametrize("method", ["backprop", "dgl", "predsim", "man"])
@pytest.mark.parametrize("text", [SPACES[0], SPACES[2]])
def test_memory_from_shapes_is_that_of_a_real_step(text: str, method: str, checkpoint_units: bool) -> None:
    space = space_of(text)
    point = traits(method).adapt(Decoupling((1, 3), ("linear", "mlp")))

    def build() -> Any:
        return METHODS.build(method, space.build(point, checkpoint_units=checkpoint_units, head_lookahead=int(method == "man")))

    found, batch_size = cost(build, SHAPE, CLASSES, 8), 8
    trainer = Trainer(build(), TrainingSettings(batch_size=batch_size), seed=0, device=CPU)
    x, y = torch.randint(1, SHAPE.num_words, (batch_size, SHAPE.length)), torch.arange(batch_size) % CLASSES
    trainer.step(x, y, 0)
    with PeakMemory(leave_out=trainer.method.parameters()) as memory:
        trainer.step(x, y, 1)
    few = 16 * len(found.blocks)  # numbers that losses and masks keep
    assert memory.peak + x.nbytes == pytest.approx(found.peak_activation_bytes, abs=few)


@pytest.mark.parametrize(("fused", "least"), [(False, 0.98), (True, 0.3)])
def test_an_lstms_memory_is_that_of_a_real_step_but_for_what_a_fused_kernel_keeps(fused: bool, least: float) -> None:
    for embedding, hidden, depth in ((32, 32, 2), (20, 60, 3), (60, 20, 2)):
        space = read_space(f"lstm(embedding={embedding},hidden={hidden},depth={depth})", SHAPE, CLASSES)
        found = cost(lambda space=space: DGL(space.build(Decoupling())), SHAPE, CLASSES, 32)  # type: ignore[misc]
        trainer = Trainer(DGL(space.build(Decoupling())), TrainingSettings(batch_size=32), seed=0, device=CPU)
        x, y = torch.randint(1, SHAPE.num_words, (32, SHAPE.length)), torch.arange(32) % CLASSES
        x[0, -1] = PADDING
        with torch.backends.mkldnn.flags(enabled=fused, allow_tf32=None):
            trainer.step(x, y, 0)
            with PeakMemory(leave_out=trainer.method.parameters()) as memory:
                trainer.step(x, y, 1)
        assert least < found.peak_activation_bytes / (memory.peak + x.nbytes) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_units", [False, True])
@pytest.mark.parametrize("text", SPACES)
def test_block_bytes_are_what_the_whole_networks_training_step_takes(text: str, checkpoint_units: bool) -> None:
    space = space_of(text)
    for cuts in ((), (1,), (2, 3)):
        point = Decoupling(cuts, ("mlp",) * len(cuts))
        found = cost(
            lambda point=point: DGL(space.build(point, checkpoint_units=checkpoint_units)),  # type: ignore[misc]
            SHAPE,
            CLASSES,
            2**14,
        )
        bytes_of = block_bytes(space, "mlp", checkpoint_units=checkpoint_units)
        ours = [bytes_of(start, stop) for start, stop in pairwise((0, *cuts, space.num_units))]
        assert ours == pytest.approx([block.activation_bytes for block in found.blocks], abs=3 * 4 * CLASSES + 1)


@pytest.mark.parametrize(("head", "method"), [("linear", DGL), ("none", partial(AL, label_dim=1))])
@pytest.mark.parametrize("text", SPACES)
def test_balanced_is_the_best_of_all(text: str, head: str, method: Callable[[DecoupledNet], Method]) -> None:
    space = space_of(text)

    def peak(cuts: tuple[int, ...]) -> int:
        point = Decoupling(cuts, (head,) * len(cuts))
        return cost(lambda: method(space.build(point)), SHAPE, CLASSES, 2**12).peak_activation_bytes

    found = read_decoupling(f"balanced(3,head={head})", space, None).cuts
    assert peak(found) == min(map(peak, combinations(space.gaps, 2)))


@pytest.mark.parametrize("text", SPACES)
def test_every_part_is_timed(text: str) -> None:
    space = space_of(text)
    tables = block_seconds(space, 4, CPU)
    assert [len(row) for row in tables.values()] == [4, 1, *[3] * len(space.heads)]
    assert all(value > 0 for row in tables.values() for value in row)


def test_attention_is_fused_in_training_and_not_where_it_is_differentiated_twice(operator_calls: Any) -> None:
    space = space_of(SPACES[2])
    trainer = Trainer(DGL(space.build(Decoupling())), TrainingSettings(batch_size=4), seed=0, device=CPU)
    x, y = torch.randint(1, SHAPE.num_words, (4, 9)), torch.arange(4)
    x[0, 5:] = PADDING
    with operator_calls() as plain:
        trainer.step(x, y, 0)
    with operator_calls() as twice, twice_differentiable(trainer.method):
        trainer.step(x, y, 1)
    assert plain.of[FUSED_ON_CPU] == 3 and twice.of[FUSED_ON_CPU] == 0
