"""InfoPro's and ContSup's cuts: equal layers as a rule would have them, memory balanced beside what `balanced` finds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest

from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.published.infopro import infopro_cuts, infopro_networks
from spaces.rules import block_bytes, read_decoupling
from spaces.space import SearchSpace

NUM_UNITS = {"resnet32": 16, "resnet110": 55}
EQUAL = {"resnet32": (2, 3, 4, 8, 16), "resnet110": (2, 3, 4, 8, 16)}
BALANCED = [*(("resnet32", 32, k) for k in (2, 4, 8, 16)), *(("resnet110", side, k) for side in (32, 96) for k in (2, 3, 4))]


@pytest.mark.parametrize("name", NUM_UNITS)
def test_equal_layers_differ_by_two_units_at_most(name):
    for num_blocks in EQUAL[name]:
        cuts = infopro_cuts(name, num_blocks)
        sizes = [stop - start for start, stop in pairwise((0, *cuts, NUM_UNITS[name]))]
        assert len(sizes) == num_blocks and min(sizes) >= 1 and max(sizes) - min(sizes) <= 2, (num_blocks, sizes)


def test_a_block_of_a_stage_is_the_unit_after_the_stem_and_the_stages_before():
    assert infopro_cuts("resnet32", 2) == (8,)  # stem, five blocks of stage 1, two of stage 2
    assert infopro_cuts("resnet32", 16) == tuple(range(1, 16))  # the stem alone is the first block
    assert infopro_cuts("resnet110", 3) == (19, 37)  # the ends of stages 1 and 2
    shapes = read_space("resnet110", (3, 32, 32), 10).template.shapes
    assert [shapes[cut] for cut in (19, 20, 37, 38)] == [(16, 32, 32), (32, 16, 16), (32, 16, 16), (64, 8, 8)]


def test_lists_differ_by_the_image_size_where_the_papers_do():
    small, large = (infopro_cuts("resnet110", 3, memory_balanced=True, input_shape=(3, side, side)) for side in (32, 96))
    assert [a - b for a, b in zip(small, large, strict=True)] == [1, 1]


@pytest.mark.parametrize(("name", "side", "num_blocks"), BALANCED)
@pytest.mark.parametrize("head", ["linear", "mlp_sr"])
def test_balanced_is_at_least_as_good_as_what_was_published(name, side, num_blocks, head):
    """By the bytes of the largest block, each with the same head. (ContSup's list for resnet32 with K = 8 takes more than
    equal layers do: its first block has three units on the largest maps.)"""
    space, bytes_of = measured(name, side, head)
    found, *others = [
        max(bytes_of(start, stop) for start, stop in pairwise((0, *read_decoupling(text, space, head).cuts, space.num_units)))
        for text in (f"balanced({num_blocks})", f"published({num_blocks},memory_balanced=True)", f"published({num_blocks})")
    ]
    assert found <= min(others)


@cache
def measured(name: str, side: int, head: str) -> tuple[SearchSpace, Callable[[int, int], int]]:
    space = read_space(name, (3, side, side), 10)
    return space, block_bytes(space, head)


def test_published_takes_the_methods_head_or_the_one_that_is_named():
    space = read_space("resnet32", (3, 32, 32), 10)
    assert str(read_decoupling("published(2)", space, "mlp_sr")) == "8:mlp_sr"
    assert str(read_decoupling("published(2,memory_balanced=True,head=linear)", space, "mlp_sr")) == "5:linear"
    assert str(read_decoupling("published(1)", space, "mlp_sr")) == "uncut" == str(read_decoupling("published(4)", space, None))


@pytest.mark.parametrize(
    ("space", "text", "says"),
    [
        ("resnet32", "published(5)", "resnet32 for 1, 2, 3, 4, 8, 16 blocks, got 5"),
        ("resnet110", "published(8,memory_balanced=True)", "memory-balanced cuts of resnet110 32x32 for 1, 2, 3, 4 blocks"),
        ("vgg19", "published(4,memory_balanced=True)", "no cuts by memory"),
        ("vgg19", "published(4,head=linear)", "heads of vgg19"),
    ],
)
def test_what_is_not_published_is_a_user_error(space, text, says):
    with pytest.raises(UserError, match=says):
        read_decoupling(text, read_space(space, (3, 32, 32), 10), "linear")


def test_other_networks_and_image_sizes_are_user_errors():
    with pytest.raises(UserError, match="did you mean resnet110"):
        infopro_cuts("resnet11", 2)
    with pytest.raises(UserError, match="got resnet32 96x96"):
        infopro_cuts("resnet32", 2, memory_balanced=True, input_shape=(3, 96, 96))
    assert set(infopro_networks()) == set(NUM_UNITS)
