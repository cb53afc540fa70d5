"""What a table says is true, against sums and ranks by hand."""

import random
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

from nas.evaluation.truth import (
    by_num_blocks,
    errors,
    incumbents,
    noise_floor,
    rank_correlation,
    regrets,
    reliability,
    true_errors,
)
from spaces.notation.errors import UserError

TRUE = {"a": (0.10, 0.14), "b": (0.20, 0.10), "c": (0.30, 0.50)}


def rows(table, column="test_error"):
    return [
        {"decoupling": point, "seed": str(seed), column: repr(error)}
        for point, values in table.items()
        for seed, error in enumerate(values)
    ]


def drawn(num_points, num_seeds, seed=0):
    rng = random.Random(seed)
    return {f"{i}:linear": tuple(rng.random() for _ in range(num_seeds)) for i in range(num_points)}


def ranks(values):
    return [sum(other < value for other in values) for value in values]


def spearman(first, second):
    """1 - 6 sum d^2 / (n (n^2 - 1)), for values of which no two are equal."""
    n = len(first)
    return 1 - 6 * sum((i - j) ** 2 for i, j in zip(ranks(first), ranks(second), strict=True)) / (n * (n * n - 1))


def test_the_truth_is_the_mean_over_seeds_and_regret_what_is_lost_to_the_best():
    table = errors(rows(TRUE))
    assert true_errors(table).to_dict() == pytest.approx({"a": 0.12, "b": 0.15, "c": 0.40})
    assert regrets(table).to_dict() == pytest.approx({"a": 0, "b": 0.03, "c": 0.28})


def test_errors_may_come_in_any_order_and_twice_and_diverged_runs_are_all_wrong():
    given = rows(TRUE) + rows({"a": (0.9, 0.9)})  # of equal keys the first counts
    shuffled = given[:6][::-1] + given[6:]
    pd.testing.assert_frame_equal(errors(shuffled), errors(rows(TRUE)))
    given[0] = given[0] | {"test_error": ""}
    assert true_errors(errors(given))["a"] == pytest.approx((1 + 0.14) / 2)
    assert errors(rows(TRUE, "validation_error"), "validation_error").loc["b"].tolist() == [0.20, 0.10]


def test_a_table_with_holes_is_refused():
    with pytest.raises(UserError, match="1 of 3 lack one, such as 'c'"):
        errors(rows(TRUE)[:-1])


@pytest.mark.parametrize("num_seeds", [2, 3])
def test_the_noise_between_seeds(num_seeds):
    table = drawn(12, num_seeds)
    floor = noise_floor(errors(rows(table)))
    columns = list(zip(*table.values(), strict=True))
    pairs = [spearman(first, second) for first, second in combinations(columns, 2)]
    assert floor.rank_correlation == pytest.approx(sum(pairs) / len(pairs))
    deviations = []
    for values in table.values():
        mean = sum(values) / num_seeds
        deviations.append((sum((value - mean) ** 2 for value in values) / (num_seeds - 1)) ** 0.5)
    assert floor.std == pytest.approx(sum(deviations) / len(deviations))


def test_one_seed_has_no_noise_to_measure():
    with pytest.raises(UserError, match="at least 2 seeds, but it has 1"):
        noise_floor(errors(rows(drawn(3, 1))))


def test_the_rank_correlation_of_every_ranking_of_four_points():
    table = drawn(4, 2)
    means = [sum(values) / 2 for values in table.values()]
    for scores in permutations((0.1, 0.5, 0.6, 9.0)):
        given = dict(zip(table, scores, strict=True))
        assert rank_correlation(dict(reversed(given.items())), errors(rows(table))) == pytest.approx(spearman(scores, means))
    with pytest.raises(KeyError):
        rank_correlation({"0:linear": 1.0}, errors(rows(table)))


def test_the_incumbent_is_the_first_of_the_best_so_far():
    for order in permutations([("a", 0.3), ("b", 0.2), ("c", 0.2), ("d", 0.1)]):
        best = incumbents(dict(order))
        for n, point in enumerate(best, 1):
            lowest = min(score for _, score in order[:n])
            assert point == next(name for name, score in order if score == lowest)
    assert incumbents({}) == []


def noisy(num_points, num_seeds, noise, seed=0):
    """True errors with a standard deviation of 1, and what seeds measure of them."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=num_points)
    points = [f"{i + 1}:linear" for i in range(num_points)]
    return truth, pd.DataFrame(truth[:, None] + noise * rng.normal(size=(num_points, num_seeds)), index=points)


@pytest.mark.parametrize("num_seeds", [2, 3, 4])
def test_the_split_half_reliability_is_the_mean_over_all_pairs_of_disjoint_halves(num_seeds):
    _, table = noisy(9, num_seeds, 0.8)
    size, found = num_seeds // 2, []
    for first in combinations(range(num_seeds), size):
        for second in combinations(set(range(num_seeds)) - set(first), size):
            found.append(spearman(table[list(first)].mean(axis=1).tolist(), table[list(second)].mean(axis=1).tolist()))
    rho, longer = sum(found) / len(found), num_seeds / size
    assert reliability(table).split_half == pytest.approx(rho)
    assert reliability(table).whole == pytest.approx(max(0, longer * rho / (1 + (longer - 1) * rho)))


@pytest.mark.parametrize(("num_seeds", "noise"), [(4, 1.0), (7, 2.0), (12, 0.5)])
def test_what_two_halves_share_says_how_well_the_whole_knows_the_truth(num_seeds, noise):
    """With noise of variance s a mean of n seeds has the reliability 1 / (1 + s / n), and correlates with the truth by its root.
    Spearman's rho lies a little below Pearson's, by which the formulas are exact."""
    truth, table = noisy(3000, num_seeds, noise)
    found, size = reliability(table, splits=20), num_seeds // 2
    assert found.split_half == pytest.approx(1 / (1 + noise**2 / size), abs=0.04)
    assert found.whole == pytest.approx(1 / (1 + noise**2 / num_seeds), abs=0.04)
    assert rank_correlation(dict(zip(table.index, truth, strict=True)), table) == pytest.approx(found.best_rho, abs=0.03)


def test_a_table_without_anything_but_noise_has_no_best_rho():
    table = pd.DataFrame({0: [1.0, 2.0, 3.0], 1: [3.0, 2.0, 1.0]}, index=["a", "b", "c"])
    assert reliability(table).split_half == -1 and reliability(table).best_rho == 0


@pytest.mark.parametrize("shape", [(2, 4), (5, 1)])
def test_reliability_takes_two_seeds_and_three_points(shape):
    with pytest.raises(UserError, match=f"got {shape[1]} seeds and {shape[0]} decouplings"):
        reliability(noisy(*shape, 1.0)[1])


def test_a_table_falls_into_parts_of_equally_many_blocks():
    table = errors(rows({"1:linear": (1, 2), "uncut": (3, 4), "2:conv(depth=2)": (5, 6), "1:linear 2:linear": (7, 8)}))
    assert {k: sorted(part.index) for k, part in by_num_blocks(table).items()} == {
        1: ["uncut"],
        2: ["1:linear", "2:conv(depth=2)"],
        3: ["1:linear 2:linear"],
    }
