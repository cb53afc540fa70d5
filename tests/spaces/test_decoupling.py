"""A decoupling as data: it reads back from its text, splits the units, and refuses what is none."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError

import pytest

from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

HEADS = [
    "linear",
    "conv(depth=1,reduction=4)",
    "conv(depth=2, reduction=1)",
    "my.module.head(name='a b',size=[1,2])",
    "pkg:head",
    "head(name='u) (v')",
    "head(inner='conv(depth=1)')",
    "head(x=1, inner=conv(depth=1))",
    "head(a=b(c=d(e=1)), f=(1, 2))",
]


def test_every_decoupling_reads_back_from_its_text():
    rng = random.Random(0)
    for _ in range(300):
        cuts = tuple(sorted(rng.sample(range(1, 120), rng.randrange(7))))
        decoupling = Decoupling(cuts, tuple(rng.choice(HEADS) for _ in cuts))
        again = Decoupling.parse(str(decoupling))
        assert again == decoupling and hash(again) == hash(decoupling)
        assert Decoupling.parse(f"  {str(decoupling).replace(' ', '  ')}\n").cuts == cuts


def test_the_written_form():
    decoupling = Decoupling((6, 13), ("conv(depth=4)", "mlp_sr"))
    assert str(decoupling) == "6:conv(depth=4) 13:mlp_sr"
    assert decoupling.num_blocks == 3
    assert str(Decoupling()) == "uncut" and Decoupling.parse(" uncut ") == Decoupling() and Decoupling().num_blocks == 1
    with pytest.raises(FrozenInstanceError):
        decoupling.cuts = ()


@pytest.mark.parametrize("num_units", [1, 2, 7])
def test_blocks_are_all_units_in_order(num_units):
    rng = random.Random(num_units)
    for _ in range(20):
        cuts = tuple(sorted(rng.sample(range(1, num_units), rng.randrange(num_units))))
        blocks = Decoupling(cuts, ("linear",) * len(cuts)).blocks(num_units)
        assert [unit for block in blocks for unit in block] == list(range(num_units))
        assert tuple(block[0] for block in blocks[1:]) == cuts
        assert all(blocks)


def test_a_cut_past_the_last_gap():
    with pytest.raises(UserError, match=r"cut 16 is past the last gap of a 16-unit backbone; cuts lie in 1\.\.15"):
        Decoupling((3, 16), ("linear", "linear")).blocks(16)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "conv",
        "6",
        "6:",
        "6: conv",
        "6:conv garbage",
        "6:conv 7",
        "x:conv",
        "-1:conv",
        "6:(a)",
        "Uncut",
        "6:conv(depth=1",
        "uncut 6:conv",
        "6:conv uncut",
        "6.5:conv",
        "6:conv, 7:conv 8",
        "6,:conv",
        "-3:conv",
        "1-2-3:conv",
        "1, 2:conv",
    ],
)
def test_what_is_no_decoupling_is_told_how_one_is_written(text):
    with pytest.raises(UserError, match=r"written '6:conv\(depth=4\) 13:mlp_sr' .* or 'uncut', got") as error:
        Decoupling.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("2,4:conv", "2:conv 4:conv"),
        ("1-3,7:conv(depth=1)  9:linear", "1:conv(depth=1) 2:conv(depth=1) 3:conv(depth=1) 7:conv(depth=1) 9:linear"),
        ("5-5:conv", "5:conv"),
    ],
)
def test_cuts_of_one_head_may_be_written_together(text, whole):
    assert Decoupling.parse(text) == Decoupling.parse(whole)


def test_a_range_of_cuts_rises():
    with pytest.raises(UserError, match="rises, as in 1-3, got 3-1"):
        Decoupling.parse("3-1:conv")


@pytest.mark.parametrize("text", ["1-999999999:conv", "1-9999," * 20_000 + "1:conv", "1-9999:conv " * 20_000])
def test_ranges_fill_no_memory(text):
    """The last two are short for 200 million cuts."""
    with pytest.raises(UserError, match="at most 10000 cuts, got more in '1-9999"):
        Decoupling.parse(text)


@pytest.mark.parametrize(("text", "cuts"), [("0:conv", "(0,)"), ("3:conv 3:conv", "(3, 3)"), ("5:conv 3:conv", "(5, 3)")])
def test_cuts_rise_from_1(text, cuts):
    with pytest.raises(UserError, match="rising from 1 on") as error:
        Decoupling.parse(text)
    assert cuts in str(error.value)


def test_one_head_a_cut():
    with pytest.raises(UserError, match="each cut has one head, got 2 cuts and 1 heads"):
        Decoupling((1, 2), ("linear",))
