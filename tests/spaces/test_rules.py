"""Splits by rule: even against the released formula, balanced against trying all, published, and how they are written."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import pytest
import torch

from methods.dgl import DGL
from nas.cost import cost
from spaces.cut_sets import CutSets
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import RULES, block_bytes, read_decoupling
from spaces.space import SearchSpace

CIFAR = (3, 32, 32)


@cache
def space_of(text: str) -> SearchSpace:
    return read_space(text, CIFAR, 10)


@pytest.fixture(autouse=True)
def few_parts(monkeypatch):
    """Lean units loop over parts of the batch; two are as good as many here, and faster."""
    monkeypatch.setattr("spaces.layers.lean_unit.MOST_PARTS", 2)
    monkeypatch.setattr("spaces.layers.lean_unit.PART", 64)


def cuts_of(text: str, space: str, default_head: str | None = "linear") -> tuple[int, ...]:
    return read_decoupling(text, space_of(space), default_head).cuts


class Line:
    """As much of a space as `even` asks of one: L units and nothing else."""

    def __init__(self, num_units: int) -> None:
        self.num_units = num_units

    def nearest_cuts(self, positions: list[int]) -> tuple[int, ...]:
        sets = CutSets(self.num_units, tuple(range(1, self.num_units)), 1)
        found = sets.best(len(positions), lambda i, gap: -abs(gap - positions[i]))
        assert found == tuple(positions), "without constraints nothing moves"
        return found


def test_even_is_the_papers_formula():
    for num_units in range(1, 40):
        for num_blocks in range(1, min(num_units, 12) + 1):
            formula = torch.linspace(-1, num_units - 1, num_blocks + 1)[1:-1].long() + 1
            found = RULES.build(f"even({num_blocks})", Line(num_units), "linear")
            assert list(found.cuts) == formula.tolist(), (num_units, num_blocks)


def test_even_rounds_exactly_where_float32_does_not():
    """With 16 units in 14 blocks the 7th cut is 16 * 7 / 14 = 8; float32 rounds to just below it on some machines."""
    formula = torch.linspace(-1, 15, 15)[1:-1].long() + 1
    assert [ours - theirs for ours, theirs in zip(cuts_of("even(14)", "vgg19"), formula.tolist(), strict=True)].count(0) >= 12
    assert cuts_of("even(14)", "vgg19")[6] == 8


@pytest.mark.parametrize("name", ["small", "vgg19", "resnet32"])
def test_even_blocks_differ_by_one_unit_at_most(name):
    num_units = space_of(name).num_units
    for num_blocks in range(1, num_units + 1):
        sizes = [stop - start for start, stop in pairwise((0, *cuts_of(f"even({num_blocks})", name), num_units))]
        assert len(sizes) == num_blocks and max(sizes) - min(sizes) <= 1


def test_even_moves_to_what_the_space_allows():
    assert cuts_of("even(3)", "small") == (2, 4)
    assert cuts_of("even(3)", "small(gaps=[1,2,5],num_blocks=None)") == (2, 5)
    assert cuts_of("even(2)", "small(gaps=[1,2,5],num_blocks=None)") == (2,)
    assert cuts_of("even(4)", "vgg11(min_block=2)") == (2, 4, 6)
    with pytest.raises(UserError, match=r"gaps \(1, 2, 5\) .* allow no 4 cuts"):
        cuts_of("even(5)", "small(gaps=[1,2,5],num_blocks=None)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "num_blocks", "head", "checkpoint_units"),
    [
        ("small", 3, "mlp_sr", False),
        ("small", 4, "conv(depth=2)", True),
        ("small(min_block=2)", 3, "linear", False),
        ("vgg11", 4, "linear", False),
        ("vgg11", 2, "linear", True),
        ("vgg11(gaps=[1,3,4,7],num_blocks=3)", 3, "linear", True),
        ("resnet18", 3, "linear", False),
    ],
)
def test_balanced_is_the_best_of_all(text, num_blocks, head, checkpoint_units):
    space = space_of(text)
    bytes_of = block_bytes(space, head, checkpoint_units=checkpoint_units)

    def largest(cuts: tuple[int, ...]) -> int:
        return max(bytes_of(start, stop) for start, stop in pairwise((0, *cuts, space.num_units)))

    found = cuts_of(f"balanced({num_blocks}, head={head}, checkpoint_units={checkpoint_units})", text)
    allowed = [
        cuts
        for cuts in combinations(space.gaps, num_blocks - 1)
        if all(stop - start >= space.min_block for start, stop in pairwise((0, *cuts, space.num_units)))
    ]
    assert found in allowed
    assert largest(found) == min(map(largest, allowed))


@pytest.mark.parametrize(("num_blocks", "checkpoint_units"), [(2, True), (3, False)])
def test_balanced_has_the_smallest_peak_of_a_whole_training_step(num_blocks, checkpoint_units):
    """Against what the profile counts in the networks that all cuts make, not against the sums that balanced optimises."""
    space = space_of("small")

    def peak(cuts: tuple[int, ...]) -> int:
        point = Decoupling(cuts, ("mlp_sr",) * len(cuts))
        return cost(lambda: DGL(space.build(point, checkpoint_units=checkpoint_units)), CIFAR, 10, 1024).peak_activation_bytes

    found = cuts_of(f"balanced({num_blocks}, checkpoint_units={checkpoint_units})", "small", "mlp_sr")
    assert peak(found) == min(map(peak, combinations(range(1, 6), num_blocks - 1)))


def test_balanced_is_never_worse_than_even():
    bytes_of = block_bytes(space_of("resnet32"), "linear")
    for num_blocks in (2, 4, 8):
        largest = [
            max(bytes_of(start, stop) for start, stop in pairwise((0, *cuts, 16)))
            for cuts in (cuts_of(f"{rule}({num_blocks})", "resnet32") for rule in ("balanced", "even"))
        ]
        assert largest[0] <= largest[1]


@pytest.mark.parametrize(
    ("space", "num_blocks", "written"),
    [
        ("vgg19", 4, "6:conv(depth=4,reduction=4) 13:conv(depth=1,reduction=4) 14:conv(depth=1,reduction=4)"),
        ("resnet50", 2, "10:conv(depth=4,reduction=4)"),
        ("vgg19", 1, "uncut"),
        ("resnet50", 4, "10:conv(depth=4,reduction=4) 11:conv(depth=4,reduction=4) 12:conv(depth=4,reduction=4)"),
    ],
)
def test_published(space, num_blocks, written):
    found = read_decoupling(f"published({num_blocks})", space_of(space), "linear")
    assert str(found) == written
    if num_blocks == 4:
        space_of(space).check(found)


@pytest.mark.parametrize(
    ("text", "space", "num_blocks"),
    [
        ("layerwise", "small", 6),
        ("layerwise(3)", "small", 4),
        ("layerwise(6)", "small", 1),
        ("layerwise(last=7)", "resnet110", 49),
        ("layerwise(last=6)", "resnet32", 11),  # AugLocal's d = 6, d = 5
    ],
)
def test_layerwise_leaves_one_unit_a_block_up_to_the_last(text, space, num_blocks):
    num_units = space_of(space).num_units
    sizes = [stop - start for start, stop in pairwise((0, *cuts_of(text, space), num_units))]
    assert sizes == [1] * (num_blocks - 1) + [num_units - num_blocks + 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [("layerwise(0)", r"last block of 1\.\.6, got last=0"), ("layerwise(7)", r"last block of 1\.\.6, got last=7")],
)
def test_layerwise_needs_a_last_block(text, says):
    with pytest.raises(UserError, match=says):
        cuts_of(text, "small")
    with pytest.raises(UserError, match=r"gaps \(1, 2, 5\) .* allow no 5 cuts"):
        cuts_of("layerwise", "small(gaps=[1,2,5],num_blocks=None)")


def test_uncut_and_methods_without_heads():
    for text in ("uncut", " uncut ", "even(1)", "balanced(1)"):
        assert read_decoupling(text, space_of("small"), "linear") == Decoupling()
    for text in ("even(3)", "balanced(3)"):
        assert read_decoupling(text, space_of("small"), None) == Decoupling(), "no head, so no use for cuts"


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("even(3)", "mlp_sr"),
        ("even(3, head=linear)", "linear"),
        ("balanced(3, head=conv(depth=2))", "conv(depth=2,reduction=4)"),
        ("even(3, head=spaces.heads.linear.linear)", "spaces.heads.linear.linear"),
    ],
)
def test_every_cut_gets_the_head_with_all_its_settings(text, head):
    assert set(read_decoupling(text, space_of("small"), "mlp_sr").heads) == {head}


def test_the_written_form_comes_back_resolved():
    found = read_decoupling(" 2:conv( depth = 2 )  4:conv(3,1)\n", space_of("small"), None)
    assert str(found) == "2:conv(depth=2,reduction=4) 4:conv(depth=3,reduction=1)"


def test_an_own_split(tmp_path, monkeypatch):
    (tmp_path / "own_split.py").write_text(
        "from spaces.decoupling import Decoupling\n\n\n"
        "def first(space, default_head, *, after: int = 1):\n    return Decoupling((after,), (default_head,))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert str(read_decoupling("own_split.first(after=2)", space_of("small"), "linear")) == "2:linear"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a decoupling is written"),
        ("-1:linear", "a decoupling is written"),
        ("3", "a decoupling is written"),
        ("uncutt", "unknown rule 'uncutt'; did you mean uncut"),
        ("evn(3)", "did you mean even"),
        ("zzz", "balanced, even, layerwise, published, uncut"),
        ("even", r"rule even needs the setting num_blocks: even\(num_blocks=...\)"),
        ("even(x)", "must be a whole number, got x"),
        ("even(0)", r"6 units make 1\.\.6 blocks, got 0"),
        ("balanced(7)", r"6 units make 1\.\.6 blocks, got 7"),
        ("even(3, haed=linear)", "'haed'; did you mean head"),
        ("even(3, head=lineer)", "'lineer'; did you mean linear"),
        ("3:lineer", "unknown head 'lineer'; did you mean linear"),
        ("6:linear", r"past the last gap .* lie in 1\.\.5"),
        ("3:linear(x=1)", "head linear takes no settings, got x=1"),
        ("published(2)", "backbone with a published decoupling: 'small'; .* resnet110, .* resnet32, .* vgg19"),
    ],
)
def test_a_wrong_text_is_told_with_the_way_out(text, says):
    with pytest.raises(UserError, match=says):
        read_decoupling(text, space_of("small"), "linear")


def test_balanced_says_what_the_space_allows():
    with pytest.raises(UserError, match="allows no 5 blocks"):
        cuts_of("balanced(5)", "small(gaps=[1,2,5],num_blocks=None)")
