"""The published decouplings: the table that the released alpha and beta give, for every network and K."""

from __future__ import annotations

from itertools import pairwise

import pytest

from spaces.backbones import BACKBONES
from spaces.notation.errors import UserError
from spaces.published.sedona import published_cuts

# K, the cut unit counted from 0 (the cut lies after it), the head's depth; from running the released code's rule
TABLE = [
    ("vgg19", 2, [5], [4]),
    ("vgg19", 4, [5, 12, 13], [4, 1, 1]),
    ("vgg19", 8, [5, 7, 10, 11, 12, 13, 14], [4, 1, 2, 1, 1, 1, 1]),
    ("vgg19", 16, range(15), [1, 1, 1, 1, 1, 4, 1, 1, 4, 4, 2, 1, 1, 1, 1]),
    ("resnet50", 2, [9], [4]),
    ("resnet50", 4, [9, 10, 11], [4, 4, 4]),
    ("resnet50", 8, [8, 9, 10, 11, 12, 13, 14], [1, 4, 4, 4, 4, 1, 4]),
    ("resnet50", 16, range(15), [1, 1, 1, 1, 1, 2, 1, 1, 1, 4, 4, 4, 4, 1, 4]),
    ("resnet101", 2, [6], [4]),
    ("resnet101", 4, [6, 10, 11], [4, 4, 4]),
    ("resnet101", 8, [6, 10, 11, 21, 24, 26, 27], [4] * 7),
    ("resnet101", 16, [6, 10, 11, 18, *range(21, 32)], [*[4] * 13, 2, 3]),
    ("resnet152", 2, [10], [4]),
    ("resnet152", 4, [10, 12, 16], [4, 4, 4]),
    ("resnet152", 8, [10, 12, 16, 18, 21, 22, 24], [4, 4, 4, 3, 2, 4, 2]),
]
NUM_UNITS = {"vgg19": 16, "resnet50": 16, "resnet101": 33, "resnet152": 50}
TIED = {"resnet101": {9}, "resnet152": {10, *range(12, 30)}}


@pytest.mark.parametrize(("name", "num_blocks", "units", "depths"), TABLE)
def test_the_published_table(name, num_blocks, units, depths):
    assert published_cuts(name, num_blocks) == (tuple(unit + 1 for unit in units), tuple(depths))


@pytest.mark.parametrize("name", NUM_UNITS)
def test_every_number_of_blocks_is_a_valid_split_or_a_tie(name):
    for num_blocks in range(1, NUM_UNITS[name] + 1):
        if num_blocks in TIED.get(name, set()):
            with pytest.raises(UserError, match=f"do not decide .* {name} has with {num_blocks} blocks"):
                published_cuts(name, num_blocks)
            continue
        cuts, depths = published_cuts(name, num_blocks)
        assert len(cuts) == len(depths) == num_blocks - 1
        assert list(cuts) == sorted(set(cuts)) and set(cuts) <= set(range(1, NUM_UNITS[name]))
        assert set(depths) <= {1, 2, 3, 4}


def test_the_resnet152_tie_names_both_gaps():
    with pytest.raises(UserError, match=r"which 15 cuts .* with 16 blocks: gaps \d+ and \d+ are tied in float32"):
        published_cuts("resnet152", 16)


def test_more_blocks_keep_the_cuts_of_fewer():
    chains = [set(published_cuts("vgg19", num_blocks)[0]) for num_blocks in range(1, 17)]
    assert all(fewer < more for fewer, more in pairwise(chains))


@pytest.mark.parametrize("name", NUM_UNITS)
def test_the_published_networks_are_the_backbones_here(name):
    assert len(BACKBONES[name]((3, 32, 32), 10).units) == NUM_UNITS[name]


@pytest.mark.parametrize("num_blocks", [-1, 0, 17])
def test_unfit_number_of_blocks(num_blocks):
    with pytest.raises(UserError, match=rf"1\.\.16 blocks, got {num_blocks}"):
        published_cuts("vgg19", num_blocks)


def test_unpublished_backbones_are_told_what_is_published():
    with pytest.raises(UserError, match=r"did you mean .*resnet101"):
        published_cuts("resnet110", 4)
    with pytest.raises(UserError, match="resnet101, resnet152, resnet50, vgg19"):
        published_cuts("small", 2)
