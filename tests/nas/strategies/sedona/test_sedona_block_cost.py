"""Block costs: memory against `profile`'s figures of whole networks, seconds against their own tables."""

from itertools import pairwise

import pytest
import torch

from methods.dgl import DGL
from nas.cost import cost
from nas.strategies.sedona.block_cost import block_memory, block_seconds, block_time
from spaces.space import SearchSpace

CIFAR, HEADS = (3, 32, 32), ["linear", "conv(depth=2)"]


@pytest.fixture(scope="module")
def space():
    return SearchSpace("small(width=0.25)", HEADS, input_shape=CIFAR, num_classes=10, gaps=[1, 3, 4])


def test_the_largest_block_memory_is_the_peak_of_the_whole_decoupled_network(space):
    block_cost = block_memory(space)
    for point in [*space.enumerate()][::3]:
        edges, heads = (0, *point.cuts, space.num_units), [*map(space.heads.index, point.heads), None]
        largest = max(block_cost(*ends, head) for ends, head in zip(pairwise(edges), heads, strict=True))
        measured = cost(lambda point=point: DGL(space.build(point)), CIFAR, 10, batch_size=512)
        assert largest == pytest.approx(measured.peak_activation_bytes / 512, rel=0.01)


def test_block_time_adds_up_the_tables(space):
    tables = {
        "units": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
        "classifier": [0.5],
        space.heads[0]: [100.0, 200.0, 300.0],
        space.heads[1]: [1000.0, 2000.0, 3000.0],
    }
    seconds = block_time(space, tables)
    assert seconds(0, 6, None) == 63.5
    assert (seconds(0, 1, 0), seconds(1, 4, 1), seconds(4, 6, None)) == (101.0, 3014.0, 48.5)


@pytest.mark.parametrize("backbone", ["small", "tests.token_networks.tiny_vit(depth=2,masked=True)"])
def test_every_part_is_timed(backbone):
    space = SearchSpace(backbone, HEADS, input_shape=CIFAR, num_classes=10)
    tables = block_seconds(space, 32, torch.device("cpu"))
    units = space.num_units
    lengths = {"units": units, "classifier": 1, space.heads[0]: units - 1, space.heads[1]: units - 1}
    assert {name: len(seconds) for name, seconds in tables.items()} == lengths
    assert all(value > 0 for seconds in tables.values() for value in seconds)
    assert block_time(space, tables)(0, units, None) == pytest.approx(sum(tables["units"]) + tables["classifier"][0])
