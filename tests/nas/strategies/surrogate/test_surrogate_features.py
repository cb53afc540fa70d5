"""Features against costs that `profile` finds in the whole network."""

import math

import numpy as np
import pytest

from methods.table import METHODS
from nas.cost import cost
from nas.strategies.surrogate.features import SMALLEST, Features
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace

HEADS = ["linear", "conv(depth=2)"]


def make_space(**settings):
    return SearchSpace("small(width=0.25)", HEADS, input_shape=(1, 8, 8), num_classes=10, **settings)


@pytest.fixture(scope="module")
def features():
    return Features(make_space())


def named(features, decoupling):
    return dict(zip(Features.names, features(decoupling), strict=True))


@pytest.mark.parametrize("cuts", [(2,), (1, 4), (3, 5), ()])
def test_costs_are_shares_of_what_profile_finds(features, cuts):
    space = features.space
    point = Decoupling(cuts, tuple(space.heads[i % 2] for i in range(len(cuts))))
    found = cost(lambda: METHODS.build("dgl", space.build(point)), space.input_shape, 10, 2)
    got = named(features, point)
    units = [block.macs for block in found.blocks]
    assert got["largest_block_macs"] == pytest.approx(max(units) / sum(units), rel=1e-6)
    assert got["first_block_macs"] == pytest.approx(units[0] / sum(units), rel=1e-6)
    assert got["head_macs"] == pytest.approx(sum(block.head_macs for block in found.blocks[:-1]) / found.macs, rel=1e-6)
    assert features.stage_shares(point) == pytest.approx(
        [(block.macs + block.head_macs) / (found.macs + found.head_macs) for block in found.blocks], rel=1e-6
    )
    if cuts:
        logs = [math.log10(SMALLEST + block.head_params / found.params) for block in found.blocks[:-1]]
        assert got["log_mean_head_params"] == pytest.approx(sum(logs) / len(logs), rel=1e-6)


def test_positions_and_ways_to_the_loss(features):
    got = named(features, Decoupling((1, 4), ("linear", "linear")))  # of 6 units; blocks of 1, 3 and 2
    assert (got["first_cut"], got["last_cut"], got["longest_way_to_loss"]) == (1 / 6, 4 / 6, 2 / 6)
    assert got["mean_way_to_loss"] == pytest.approx((0 + 2 + 1 + 0 + 1 + 0) / 6 / 6)
    assert [got[f"cuts_below_{depth}"] for depth in (0.2, 0.4, 0.6, 0.8)] == [1 / 6, 1 / 6, 1 / 6, 2 / 6]
    uncut = named(features, Decoupling())
    assert (uncut["first_cut"], uncut["last_cut"], uncut["head_macs"], uncut["log_num_blocks"]) == (1, 0, 0, 0)


def test_different_decouplings_have_different_features(features):
    points = list(make_space(num_blocks=(1, 3)).enumerate())
    table = features.of_all(points)
    assert table.shape == (len(points), len(Features.names)) and np.isfinite(table).all()
    assert len(np.unique(table.round(9), axis=0)) > 0.9 * len(points)


def test_texts_have_features_too():
    from spaces.activation import TextShape

    space = SearchSpace("linear", ["linear"], input_shape=TextShape(8, 50), num_classes=4, num_blocks=2)
    table = Features(space).of_all(list(space.enumerate()))
    assert np.isfinite(table).all()
