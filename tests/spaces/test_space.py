"""Spaces: what every named space promises, and constrained spaces against trying all subsets of the gaps."""

from __future__ import annotations

import math
import random
from functools import cache
from itertools import combinations, pairwise, product

import pytest
import torch
from own_networks import OWN
from scipy.stats import chisquare

from spaces.activation import TextShape, activation_shape, example_input
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.named import named_spaces, read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CIFAR, TEXTS = (3, 32, 32), TextShape(9, 50)
CONSTRAINTS = [
    {},
    {"num_blocks": 1},
    {"num_blocks": 3},
    {"num_blocks": (1, 3)},
    {"num_blocks": (2, 6)},
    {"num_blocks": 6},
    {"min_block": 2},
    {"min_block": 2, "num_blocks": 3},
    {"min_block": 2, "num_blocks": (2, 3)},
    {"gaps": (2, 3, 5)},
    {"gaps": (5, 2, 3, 3)},
    {"gaps": (1, 2, 4), "min_block": 2},
    {"gaps": (2, 4), "num_blocks": 2, "min_block": 2},
    {"gaps": ()},
    {"min_block": 4},
]
HEAD_SETS = [("linear",), ("linear", "conv(depth=2)")]
SPACES = [(constraints, heads) for constraints in CONSTRAINTS for heads in HEAD_SETS]


@cache
def named(name: str) -> SearchSpace:
    return read_space(OWN if name == "module" else name, TEXTS if name in ("linear", "lstm", "transformer") else CIFAR, 10)


@cache
def small(heads=("linear",), **constraints) -> SearchSpace:
    return SearchSpace("small", heads, input_shape=(3, 8, 8), num_classes=10, **constraints)


def brute(constraints, heads) -> set[Decoupling]:
    """All points of a space on six units, by trying every subset of the gaps."""
    bounds = constraints.get("num_blocks") or (1, 6)
    lowest, highest = bounds if isinstance(bounds, tuple) else (bounds, bounds)
    specs = [str(HEADS.resolve(head)) for head in heads]
    points = set()
    for num_blocks in range(lowest, highest + 1):
        for cuts in combinations(sorted(set(constraints.get("gaps", range(1, 6)))), num_blocks - 1):
            if all(stop - start >= constraints.get("min_block", 1) for start, stop in pairwise((0, *cuts, 6))):
                points |= {Decoupling(cuts, chosen) for chosen in product(specs, repeat=num_blocks - 1)}
    return points


@pytest.mark.parametrize(("constraints", "heads"), SPACES)
def test_enumeration_size_and_check_agree_with_trying_all(constraints, heads):
    space, expected = small(heads, **constraints), brute(constraints, heads)
    points = list(space.enumerate())
    assert set(points) == expected
    assert len(points) == len(expected) == len(space) == space.size
    assert set(space.block_counts) == {point.num_blocks for point in points}
    for point in brute({}, heads):
        if point in expected:
            space.check(point)
        else:
            with pytest.raises(UserError):
                space.check(point)


@pytest.mark.parametrize(("constraints", "heads"), SPACES)
def test_every_point_is_encoded_decoded_and_read_back(constraints, heads):
    space = small(heads, **constraints)
    dimensions = space.dimensions()
    for point in space.enumerate():
        encoded = space.encode(point)
        assert encoded.keys() == dimensions.keys()
        assert all(value in dimensions[name] for name, value in encoded.items())
        assert space.decode(encoded) == point
        assert read_decoupling(str(point), space, None) == point


@pytest.mark.parametrize(("constraints", "heads"), SPACES)
def test_whatever_a_sampler_asks_for_is_in_the_space(constraints, heads):
    space, rng = small(heads, **constraints), random.Random(0)
    for _ in range(100):
        point = {name: rng.choice(list(choices)) for name, choices in space.dimensions().items()}
        space.check(space.decode(point))


def test_decoding_takes_cuts_in_any_order_and_moves_them_with_their_heads():
    space = small(("linear", "mlp_sr", "predsim"), num_blocks=(2, 3), min_block=2)
    point = {"num_blocks": 3, "cut_0": 4, "head_0": "linear", "cut_1": 0, "head_1": "predsim"}
    assert str(space.decode(point)) == "2:predsim 4:linear", "asked for 5:linear and 1:predsim, with blocks of two units"
    free = small(("linear", "mlp_sr", "predsim"), min_block=2)
    point = {"gap_1": "uncut", "gap_2": "predsim", "gap_3": "mlp_sr", "gap_4": "uncut", "gap_5": "linear"}
    assert str(free.decode(point)) == "2:predsim 4:mlp_sr", "three cuts are too many, so the last is dropped"


@pytest.mark.parametrize(("constraints", "heads"), SPACES)
def test_the_spec_reads_back(constraints, heads):
    space = small(heads, **constraints)
    again = read_space(str(space.spec), space.input_shape, space.num_classes)
    assert str(again.spec) == str(space.spec)
    assert list(again.enumerate()) == list(space.enumerate())
    assert again.dimensions() == space.dimensions()


@pytest.mark.parametrize("name", ["resnet18(width=0.5)", "small(num_blocks=[2,3],min_block=2)", "vgg11(gaps=[1,4],num_blocks=2)"])
def test_the_spec_of_a_named_space_reads_back(name):
    space = read_space(name, CIFAR, 10)
    again = read_space(str(space.spec), CIFAR, 10)
    assert str(again.spec) == str(space.spec) and again.size == space.size
    rng = random.Random(0)
    samples = [space.sample(rng) for _ in range(10)]
    rng.seed(0)
    assert samples == [again.sample(rng) for _ in range(10)]


@pytest.mark.parametrize(
    ("constraints", "heads"),
    [
        ({"num_blocks": (2, 4), "min_block": 1, "gaps": (1, 2, 4, 5)}, ("linear", "mlp_sr")),
        ({"min_block": 2}, ("linear", "mlp_sr", "conv")),
        ({"num_blocks": 3}, ("linear",)),
        ({}, ("linear",)),
    ],
)
def test_sampling_is_uniform_over_all_points(constraints, heads):
    space, rng = small(heads, **constraints), random.Random(1)
    counts = dict.fromkeys(space.enumerate(), 0)
    for _ in range(50 * space.size):
        counts[space.sample(rng)] += 1
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("name", named_spaces())
def test_a_named_space_counts_samples_and_encodes(name):
    space = named(name)
    num_heads = 1 if name.startswith(("al_", "prefix", "dgl_cnn", "vgg11b")) else 4
    assert space.gaps == tuple(range(1, space.num_units)) and len(space.heads) == num_heads
    assert space.size == sum(math.comb(space.num_units - 1, k - 1) * num_heads ** (k - 1) for k in space.block_counts)
    rng, dimensions = random.Random(0), space.dimensions()
    samples = [space.sample(rng) for _ in range(60)]
    rng.seed(0)
    assert samples == [space.sample(rng) for _ in range(60)], "equal seeds, equal samples"
    assert len(set(samples)) > min(30, space.size // 2)
    for point in samples:
        space.check(point)
        encoded = space.encode(point)
        assert all(encoded[key] in choices for key, choices in dimensions.items())
        assert space.decode(encoded) == point
        assert Decoupling.parse(str(point)) == point


@pytest.mark.parametrize("name", named_spaces())
def test_a_named_space_builds_networks_that_run(name):
    """On the meta device: K blocks and heads, their shapes, and all parameters of the backbone exactly once."""
    space = named(name)
    point = space.sample(random.Random(0))
    with torch.device("meta"):
        net, x = space.build(point), example_input(space.input_shape, 2, "meta")
    assert net.num_blocks == len(net.heads) == point.num_blocks
    assert [len(block) for block in net.blocks] == [len(block) for block in point.blocks(space.num_units)]
    h = x
    for cut, block, head in zip((*point.cuts, space.num_units), net.blocks, net.heads, strict=True):
        h = block(h)
        assert activation_shape(h) == space.template.shapes[cut] and head(h).shape == (2, 10)
    assert net(x).shape == (2, 10)
    ours = [p.shape for module in (*net.blocks, net.heads[-1]) for p in module.parameters()]
    assert ours == [p.shape for p in space.template.parameters()]


@pytest.mark.parametrize("name", ["small", "vgg11", "resnet18", "resnet32"])
def test_a_named_space_builds_networks_that_train(name):
    torch.manual_seed(0)
    space = read_space(f"{name}(width=0.25)", CIFAR, 7)
    net = space.build(space.sample(random.Random(1)))
    x, y = torch.randn(4, *CIFAR), torch.arange(4)
    for block, head in zip(net.blocks, net.heads, strict=True):
        x = block(x.detach())
        torch.nn.functional.cross_entropy(head(x), y).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_seed_gives_every_decoupling_the_same_backbone():
    space = small()
    weights = []
    for text in ("uncut", "3:linear", "1:conv 2:mlp_sr 5:conv(depth=4)"):
        torch.manual_seed(5)
        net = space.build(read_decoupling(text, space, None))
        weights.append(torch.cat([p.flatten() for m in (*net.blocks, net.heads[-1]) for p in m.parameters()]))
    assert weights[0].unique().numel() > 1000
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])


def test_asking_a_space_draws_no_numbers_and_takes_no_storage():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    space = small(("conv(depth=4)", "mlp_sr"))
    shapes = space.template.shapes
    assert torch.equal(torch.get_rng_state(), before)
    assert shapes[0] == (3, 8, 8) and len(shapes) == 7
    assert all(tensor.is_meta for tensor in space.template.state_dict().values())


def test_a_space_too_large_to_list_is_counted_and_sampled():
    space = read_space("resnet152(num_blocks=None)", CIFAR, 10)
    assert space.size == sum(math.comb(49, cuts) * 4**cuts for cuts in range(50)) == 5**49
    with pytest.raises(OverflowError):
        len(space)
    point = space.sample(random.Random(0))
    assert space.decode(space.encode(point)) == point


@pytest.mark.parametrize("constraints", CONSTRAINTS)
def test_best_and_nearest_cuts_are_those_of_trying_all(constraints):
    space, rng = small(**constraints), random.Random(2)
    score = {gap: rng.randint(-5, 5) for gap in range(1, 6)}
    for num_cuts in range(6):
        allowed = [
            cuts
            for cuts in combinations(space.gaps, num_cuts)
            if all(stop - start >= space.min_block for start, stop in pairwise((0, *cuts, 6)))
        ]
        positions = [rng.randint(-2, 8) for _ in range(num_cuts)]

        def distance(cuts):
            return sum(abs(cut - position) for cut, position in zip(cuts, sorted(positions), strict=True))  # noqa: B023

        if not allowed:
            assert space.best_cuts(num_cuts, score.__getitem__) is None
            with pytest.raises(UserError, match=f"allow no {num_cuts} cuts"):
                space.nearest_cuts(positions)
            continue
        best = space.best_cuts(num_cuts, score.__getitem__)
        assert best in allowed
        assert sum(map(score.get, best)) == max(sum(map(score.get, cuts)) for cuts in allowed)
        nearest = space.nearest_cuts(positions)
        assert nearest in allowed
        assert distance(nearest) == min(map(distance, allowed))


@pytest.mark.parametrize("constraints", CONSTRAINTS)
def test_a_gap_is_used_where_trying_all_finds_a_set_with_it(constraints):
    cut_sets = small(**constraints).cut_sets
    for num_cuts in range(7):
        allowed = [
            cuts
            for cuts in combinations(cut_sets.gaps, num_cuts)
            if all(stop - start >= cut_sets.min_block for start, stop in pairwise((0, *cuts, 6)))
        ]
        assert {gap for gap in range(8) if cut_sets.uses(num_cuts, gap)} == {gap for cuts in allowed for gap in cuts}


@pytest.mark.parametrize(("constraints", "heads"), SPACES)
def test_a_tightened_space_has_the_same_points_and_no_gap_that_none_of_them_cuts(constraints, heads):
    space, points = small(heads, **constraints), brute(constraints, heads)
    tight = space.tightened()
    assert tight.gaps == tuple(sorted({cut for point in points for cut in point.cuts}))
    assert list(tight.enumerate()) == list(space.enumerate()) and tight.block_counts == space.block_counts
    assert str(tight.tightened().spec) == str(tight.spec)


@pytest.mark.parametrize(
    ("constraints", "says"),
    [
        ({"num_blocks": 7}, r"5 gaps .* allow 1\.\.6 blocks, got num_blocks=7"),
        ({"num_blocks": 0}, "got num_blocks=0"),
        ({"num_blocks": -1}, "got num_blocks=-1"),
        ({"num_blocks": (2, 9)}, r"1\.\.6 blocks, got num_blocks=\(2, 9\)"),
        ({"num_blocks": (0, 2)}, "1..6 blocks"),
        ({"num_blocks": (4, 2)}, "1..6 blocks"),
        ({"num_blocks": 3, "min_block": 3}, r"blocks of at least 3 of 6 units allow 1\.\.2 blocks, got num_blocks=3"),
        ({"min_block": 0}, r"at least 1\.\.6 units, got min_block=0"),
        ({"min_block": 7}, "got min_block=7"),
        ({"gaps": (0, 3)}, r"lie in 1\.\.5, got \(0, 3\)"),
        ({"gaps": (6,)}, r"lie in 1\.\.5, got \(6,\)"),
        ({"heads": ()}, "at least one head; name one in 'heads'"),
        ({"heads": ("lineer",)}, "'lineer'; did you mean linear"),
        ({"heads": ("conv(depth=9)",)}, r"depth of head conv lies in 1\.\.4, got 9"),
    ],
)
def test_unfit_constraints(constraints, says):
    with pytest.raises(UserError, match=says):
        small(**constraints)


def test_heads_and_gaps_count_once():
    assert small(("conv", "conv(depth=1)", "conv(1,4)", "linear"), gaps=(3, 3, 1), num_blocks=2).size == 4
    assert list(small((), num_blocks=1).enumerate()) == [Decoupling()]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3:linear", "this space has 3 blocks, but '3:linear' makes 2"),
        ("uncut", "this space has 3 blocks, but 'uncut' makes 1"),
        ("2:linear 3:linear", "cuts at 2, 4, 5, but '2:linear 3:linear' cuts at 3"),
        ("4:linear 5:linear", r"at least 2 units here, but '4:linear 5:linear' makes blocks of \[4, 1, 1\]"),
        ("2:linear 4:conv", r"has the heads linear, mlp_sr, but '2:linear 4:conv' has conv"),
        ("2:linear 6:linear", r"cut 6 is past the last gap of a 6-unit backbone; cuts lie in 1\.\.5"),
        ("2:linear 4:lineer", "unknown head 'lineer'; did you mean linear"),
    ],
)
def test_check_says_what_would_be_inside(text, says):
    space = small(("linear", "mlp_sr"), gaps=(2, 4, 5), min_block=2, num_blocks=3)
    with pytest.raises(UserError, match=says):
        space.check(Decoupling.parse(text))
    space.check(Decoupling.parse("2:linear() 4:mlp_sr"))


def test_a_cut_that_the_backbone_does_not_have_is_not_built():
    with pytest.raises(UserError, match="cut 9 is past the last gap"):
        small().build(Decoupling((9,), ("linear",)))
