"""Specs in tables: short, told apart, and still read back."""

import random

import pytest

from nas.report.short_names import short_decoupling, short_head, short_names, short_space
from nas.report.summary import summarise, summary_table
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.named import read_space


def test_names_stay_apart_where_one_method_has_a_setting_that_another_lacks():
    assert len(set(short_names(["man(base=dgl)", "man(base=dgl,start=None)"]).values())) == 2


def test_a_method_inside_a_method_is_told_apart_by_what_differs():
    dgl = "man(base='dgl(label_smoothing=0.1)',bias=True)"
    two = "man(base='infopro(loss={},lambdas=[5.0,0.5,5.0,0.5])',bias=True)"
    specs = [dgl, two.format("softmax"), two.format("contrast"), "greedy(label_smoothing=0.0)"]
    assert list(short_names(specs).values()) == [
        "man(base=dgl)",
        "man(base='infopro(loss=softmax,lambdas=[5.0,0.5,5.0,0.5])')",
        "man(base='infopro(loss=contrast,lambdas=[5.0,0.5,5.0,0.5])')",
        "greedy",
    ]  # the lambdas are no default
    assert short_names([dgl]) == {dgl: "man"}


@pytest.mark.parametrize(
    "head, shown",
    [
        ("1c2f(width=1.0,feature_dim=128,embedding=False)", "1c2f"),
        ("1c2f(width=0.5,feature_dim=128,embedding=True)", "1c2f(width=0.5,embedding=True)"),
        ("conv(depth=2,reduction=4)", "conv(depth=2)"),
        ("linear", "linear"),
        ("my.own.head(width=1.0)", "my.own.head(width=1.0)"),
    ],
)
def test_a_head_is_shown_without_its_defaults_and_means_the_same(head, shown):
    assert short_head(head) == shown
    if "." not in head.partition("(")[0]:
        assert str(HEADS.resolve(shown)) == head


def test_heads_that_are_all_alike_are_shown_once_with_neighbouring_cuts_as_a_run():
    point = " ".join(f"{cut}:1c2f(width=1.0,feature_dim=128,embedding=False)" for cut in (1, 2, 3, 4, 7, 9, 10))
    assert short_decoupling(point) == "1-4,7,9,10:1c2f"
    assert short_decoupling("uncut") == "uncut" and short_decoupling("4:linear") == "4:linear"
    mixed = "1:linear 2:conv(depth=3,reduction=4)"
    assert short_decoupling(mixed) == "1:linear 2:conv(depth=3)"
    heads = [str(HEADS.resolve(head)) for head in Decoupling.parse(short_decoupling(mixed)).heads]
    assert heads == list(Decoupling.parse(mixed).heads)


def test_what_a_table_prints_of_any_cuts_is_what_a_command_reads():
    rng = random.Random(0)
    for _ in range(200):
        cuts = tuple(sorted(rng.sample(range(1, 30), rng.randrange(20))))
        point = Decoupling(cuts, ("linear",) * len(cuts))
        assert Decoupling.parse(short_decoupling(str(point))) == point


def test_a_summary_of_many_blocks_fits_a_terminal():
    row = {
        "method": "dgl(label_smoothing=0.1)",
        "num_blocks": 16,
        "test_error": 0.1,
        "validation_error": 0.1,
        "step_seconds": 0.1,
        "peak_activation_bytes": 1,
        "status": "ok",
        "decoupling": " ".join(f"{cut}:1c2f(width=1.0,feature_dim=128,embedding=False)" for cut in range(1, 16)),
    }
    text = summary_table(summarise([row, row]))
    assert max(map(len, text.splitlines())) <= 100 and text.endswith("1-15:1c2f")


@pytest.mark.parametrize(
    "space, shown",
    [
        (
            "space(backbone='vgg11(width=1.0)',heads=['conv(depth=1,reduction=4)',linear],num_blocks=[2,4],gaps=[1,2,3,4,6],"
            "min_block=1)",
            "gaps 1-4,6, heads conv linear, K 2 to 4",
        ),
        (
            "space(backbone=x,heads=[linear],num_blocks=4,gaps=[1,2],min_block=2)",
            "gaps 1,2, heads linear, K 4, blocks of 2 units at least",
        ),
        ("space(backbone=x,heads=[linear],num_blocks=None,gaps=[3],min_block=1)", "gaps 3, heads linear"),
        ("small", "small"),
        *((cell, cell) for cell in ("", "no (space", "space(gaps=[1],heads=['a('])", "space(gaps=1,heads=linear)")),
    ],
)
def test_a_space_says_what_may_be_searched(space, shown):
    assert short_space(space) == shown


def test_a_space_of_a_row_is_read():
    space = read_space("small", input_shape=(1, 8, 8), num_classes=10)
    shown = short_space(str(space.spec))
    assert shown.startswith(f"gaps {space.gaps[0]}") and "backbone" not in shown and "[" not in shown
