"""Associated Learning's cuts, by the sizes of the activations that its published bridges flatten."""

from __future__ import annotations

from math import prod

import pytest

from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.published.al import al_cuts, al_networks
from spaces.rules import read_decoupling

FLAT = {"al_cnn": (32768, 8192, 16384, 4096), "al_vgg": (65536, 32768, 8192, 2048), "al_resnet18": (65536, 32768, 16384, 8192)}


@pytest.mark.parametrize("name", FLAT)
def test_blocks_end_where_the_released_bridges_flatten(name):
    space = read_space(name, (3, 32, 32), 10)
    point = read_decoupling("published(4)", space, "none")
    assert tuple(prod(space.template.shapes[gap]) for gap in (*point.cuts, space.num_units)) == FLAT[name]
    assert set(point.heads) == {"none"}
    assert str(read_decoupling("published(4,head=linear)", space, "none")).count("linear") == 3
    assert str(read_decoupling("published(1)", space, "none")) == "uncut"


def test_the_pipelined_resnet_has_its_stem_apart():
    assert al_cuts("al_resnet18", 5) == (1, *al_cuts("al_resnet18", 4))
    assert set(al_networks()) == set(FLAT)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("published(3)", "cuts of al_vgg for 1, 4 blocks, got 3"),
        ("published(4,memory_balanced=True)", "no cuts of al_vgg by memory"),
    ],
)
def test_what_is_not_published_is_a_user_error(text, says):
    with pytest.raises(UserError, match=says):
        read_decoupling(text, read_space("al_vgg", (3, 32, 32), 10), "linear")


def test_another_network_is_told_which_there_are():
    with pytest.raises(UserError, match="did you mean al_cnn"):
        al_cuts("al_cn", 4)
