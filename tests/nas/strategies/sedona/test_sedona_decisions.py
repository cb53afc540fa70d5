"""What alpha and beta decide against brute force and the paper, how sure they are of it, and how that is told."""

import random
from itertools import combinations, pairwise

import pandas as pd
import pytest
import torch

import run
from nas.strategies.sedona.decisions import Decision, decisions, discretise
from nas.strategies.sedona.relaxation import Architecture
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

CONSTRAINTS = [{}, {"gaps": (1, 2, 4, 5), "min_block": 2}, {"min_block": 2}, {"gaps": (2, 3, 5)}]
VGG19 = [-7.76, -7.56, -7.77, -7.21, -7.40, 3.43, -4.51, -3.99, -4.42, -4.85, 0.007, 0.036, 0.131, 0.130, 0.115]


def make_space(num_heads=2, **constraints):
    heads = [f"conv(depth={depth + 1})" for depth in range(num_heads)]
    return SearchSpace("small", heads, input_shape=(1, 8, 8), num_classes=10, **constraints)


def random_architecture(space, seed):
    generator = torch.Generator().manual_seed(seed)
    return Architecture(*(torch.randn(len(space.gaps), n, generator=generator) for n in (2, len(space.heads))))


def with_shares(*cut, heads=((1.0,),)):
    """alpha and beta that have these a_j0, and these shares of heads at each gap (the last of them at all further gaps)."""
    shares = torch.tensor(cut, dtype=torch.float64)
    mixture = [heads[min(j, len(heads) - 1)] for j in range(len(cut))]
    return Architecture(torch.stack([shares, 1 - shares], dim=1).log(), torch.tensor(mixture, dtype=torch.float64).log())


def decided(architecture, space, num_blocks):
    return decisions(architecture, space, discretise(architecture, space, num_blocks))


def published_vgg19():
    """The space and alpha[:, 0] as released (rounded; alpha[:, 1] is its negative)."""
    space = SearchSpace("vgg19(width=0.25)", ["conv(depth=1)"], input_shape=(3, 32, 32), num_classes=10)
    alpha = torch.tensor(VGG19)
    return space, Architecture(torch.stack([alpha, -alpha], dim=1), torch.zeros(15, 1))


# ---- what is decided


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
@pytest.mark.parametrize("constraints", CONSTRAINTS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_best_allowed_cuts_and_the_likeliest_heads(num_blocks, constraints, seed):
    space = make_space(num_blocks=num_blocks, **constraints)
    architecture = random_architecture(space, seed)

    def merit(decoupling):
        rows = [space.gaps.index(cut) for cut in decoupling.cuts]
        heads = [architecture.mixture[row, space.heads.index(head)] for row, head in zip(rows, decoupling.heads, strict=True)]
        return sum(float(architecture.shares[row, 0]) for row in rows) + 1e-3 * float(sum(heads))

    assert discretise(architecture, space, num_blocks) == max(space.enumerate(), key=merit)


def test_differences_that_float32_shares_cannot_show_decide():
    alpha = torch.zeros(5, 2)
    alpha[3, 0] = 1e-9
    assert len(set(torch.softmax(alpha, 1)[:, 0].tolist())) == 1
    assert discretise(Architecture(alpha, torch.zeros(5, 2)), make_space(num_blocks=2), 2).cuts == (4,)


def test_numbers_of_blocks_that_the_space_does_not_allow_are_told():
    with pytest.raises(UserError, match="allow no 5 blocks"):
        discretise(Architecture.zeros(5, 2), make_space(min_block=2), 5)


@pytest.mark.parametrize(
    ("num_blocks", "units_before_cuts"), [(2, (6,)), (4, (6, 13, 14)), (8, (6, 8, 11, 12, 13, 14, 15)), (16, tuple(range(1, 16)))]
)
def test_the_published_vgg19_has_the_cuts_that_the_released_code_made_of_it(num_blocks, units_before_cuts):
    space, architecture = published_vgg19()
    assert discretise(architecture, space, num_blocks).cuts == units_before_cuts


# ---- how sure


@pytest.mark.parametrize("constraints", CONSTRAINTS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_margins_are_those_of_trying_all_allowed_sets(constraints, seed):
    space = make_space(num_heads=3, **constraints)
    architecture = random_architecture(space, seed)
    shares = dict(zip(space.gaps, architecture.alpha.double().softmax(1)[:, 0].tolist(), strict=True))
    mixture = dict(zip(space.gaps, architecture.beta.double().softmax(1).tolist(), strict=True))
    for num_blocks in space.block_counts:
        allowed = [
            cuts
            for cuts in combinations(space.gaps, num_blocks - 1)
            if all(stop - start >= space.min_block for start, stop in pairwise((0, *cuts, 6)))
        ]
        best = max(allowed, key=lambda cuts: sum(map(shares.get, cuts)))
        found = decided(architecture, space, num_blocks)
        assert tuple(decision.gap for decision in found) == best
        for decision in found:
            others = [sum(map(shares.get, cuts)) for cuts in allowed if decision.gap not in cuts]
            margin = sum(map(shares.get, best)) - max(others) if others else None
            assert decision.cut_share == pytest.approx(shares[decision.gap])
            assert decision.cut_margin == (None if margin is None else pytest.approx(margin))
            second, first = sorted(mixture[decision.gap])[-2:]
            assert decision.head == space.heads[mixture[decision.gap].index(first)]
            assert (decision.head_share, decision.head_margin) == pytest.approx((first, first - second))


@pytest.mark.parametrize("num_blocks", [2, 3, 4, 5])
def test_where_all_sets_are_allowed_a_margin_is_the_distance_to_the_best_gap_left_out(num_blocks):
    space = make_space()
    architecture = random_architecture(space, 7)
    ranked = sorted(architecture.shares[:, 0].tolist(), reverse=True)
    margins = {decision.cut_share: decision.cut_margin for decision in decided(architecture, space, num_blocks)}
    assert margins == pytest.approx({share: share - ranked[num_blocks - 1] for share in margins}, abs=1e-6)
    assert sorted(margins, reverse=True) == pytest.approx(ranked[: num_blocks - 1])


@pytest.mark.parametrize(
    ("shares", "certainty"),
    [
        ((0.5, 0.5, 0.5, 0.5, 0.5), ["tie", "tie"]),
        ((0.9, 0.5, 0.5, 0.1, 0.1), ["decided", "tie"]),
        ((0.9, 0.5, 0.5 - 1e-7, 0.1, 0.1), ["decided", "tie"]),
        ((0.9, 0.5, 0.495, 0.1, 0.1), ["decided", "near-tie"]),
        ((0.505, 0.504, 0.5, 0.1, 0.1), ["near-tie", "near-tie"]),
        ((0.9, 0.5, 0.48, 0.1, 0.1), ["decided", "decided"]),
    ],
)
def test_ties_and_near_ties_of_cuts(shares, certainty):
    assert [decision.certainty for decision in decided(with_shares(*shares), make_space(1), 3)] == certainty


@pytest.mark.parametrize(("heads", "certainty"), [((0.5, 0.5), "tie"), ((0.504, 0.496), "near-tie"), ((0.4, 0.6), "decided")])
def test_ties_and_near_ties_of_heads(heads, certainty):
    (decision,) = decided(with_shares(0.9, 0.1, 0.1, 0.1, 0.1, heads=[heads]), make_space(2), 2)
    assert decision.certainty == certainty


def test_a_cut_and_a_head_without_alternative_are_decided():
    for decision in decided(with_shares(0.5, 0.5), make_space(1, gaps=(2, 4)), 3):
        assert (decision.cut_margin, decision.head_margin, decision.certainty) == (None, None, "decided")


def test_equal_sums_are_never_behind_each_other_by_rounding():
    space, rng = make_space(1), random.Random(0)
    for _ in range(100):
        architecture = with_shares(*(rng.choice([0.1, 0.2, 0.3]) for _ in range(5)))
        for num_blocks in (2, 3, 4, 5):
            assert not any("-0.0000" in str(decision) for decision in decided(architecture, space, num_blocks))


def test_the_published_late_cuts_of_vgg19_are_near_ties():
    """a_j0 of gaps 6, 13, 14 and of the best gap left out, 15: .9989, .5650, .5647, .5572 (SEDONA's released arrays)."""
    space, architecture = published_vgg19()
    early, *late = decided(architecture, space, 4)
    assert early.certainty == "decided" and early.cut_margin == pytest.approx(0.9989 - 0.5572, abs=1e-3)
    assert [decision.certainty for decision in late] == ["near-tie", "near-tie"]
    assert [decision.cut_margin for decision in late] == pytest.approx([0.5650 - 0.5572, 0.5647 - 0.5572], abs=5e-4)
    assert [decision.certainty for decision in decided(architecture, space, 2)] == ["decided"]


def test_a_decision_in_words():
    close, alone = Decision(3, "linear", 0.75, 0.1234, 0.6, 0.002), Decision(3, "linear", 0.75, None, 1.0, None)
    assert str(close) == "cut 3: 0.7500, 0.1234 ahead; linear: 0.6000, 0.0020 ahead; near-tie"
    assert str(alone) == "cut 3: 0.7500; linear: 1.0000; decided"


# ---- how that is told


@pytest.mark.slow
def test_a_search_prints_how_sure_its_answer_is_and_records_it_once_for_every_number_of_blocks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [
        "search",
        "--space",
        "small(width=0.25,num_blocks=[2,3],heads=[linear,mlp_sr])",
        "--iterations",
        "2",
        "--batch-size",
        "32",
        "--strategy",
        "sedona(pretrain=3,meta_steps=2,inner_steps=2,memory=2,outer_batch=32)",
    ]
    for _ in range(2):
        assert run.main(command) == 0
        printed = capsys.readouterr().out
    table = pd.read_csv("results/decisions.csv")
    assert list(table["num_blocks"]) == [2, 3, 3] and table["run"].nunique() == 1 and (table["seed"] == 0).all()
    last = pd.read_csv("results/alpha_beta.csv").tail(5).set_index("gap")
    for row in table.itertuples():
        assert row.cut_share == pytest.approx(last.loc[row.gap, "cut_share"], rel=1e-5)
        assert row.head_share == pytest.approx(last.loc[row.gap, f"share_{row.head}"], rel=1e-5)
    (cuts,) = [line.split()[1:] for line in printed.splitlines() if line.startswith("found ")]
    answer = table[table["num_blocks"] == len(cuts) + 1]
    assert list(answer["gap"].astype(str) + ":" + answer["head"]) == cuts
    columns = answer[["gap", "head", "cut_share", "cut_margin", "head_share", "head_margin"]]
    notes = [line.partition("note        ")[2] for line in printed.splitlines() if line.startswith("note ")]
    assert notes == [str(Decision(*row)) for row in columns.itertuples(index=False, name=None)]
    assert run.main([*command, "--seed", "1"]) == 0
    table = pd.read_csv("results/decisions.csv")
    assert list(table["seed"]) == [0] * 3 + [1] * 3 and table["run"].nunique() == 2
