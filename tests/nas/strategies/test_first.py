"""Warm starts: what is evaluated before anything is sampled."""

import pytest

from nas.strategies import STRATEGIES
from nas.strategies.first import first_decouplings
from spaces.notation.errors import UserError
from tests.nas.strategies.test_strategies import SPACES, Recorded, find, make_problem, make_space, separable_table

SPACE = SPACES["K in a range"]


def texts(*rules, trials=10, space=SPACE):
    return [str(point) for point in first_decouplings(rules, make_problem(space), trials)]


def test_a_rule_with_its_number_of_blocks_is_one_decoupling():
    assert texts("even(3)") == [f"2:{SPACE.heads[0]} 4:{SPACE.heads[0]}"]


def test_a_rule_s_name_alone_is_each_number_of_blocks_that_the_space_has():
    assert [text.count(":") for text in texts("even")] == [1, 2, 3]


def test_the_same_decoupling_comes_once_in_the_order_of_the_rules():
    assert texts("even(3)", "2:conv(depth=1) 4:conv(depth=1)", "even") == texts("even(3)", "even(2)", "even(4)")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("even(5)", r"first=even\(5\) is no decoupling of this space: .*blocks"),
        ("published", "first=published is no decoupling of this space: .*small"),
        ("evne(3)", "first=evne.*even"),
    ],
)
def test_a_rule_that_the_space_does_not_have_is_refused_with_its_reason(rule, said):
    with pytest.raises(UserError, match=said):
        texts(rule)


def test_more_than_the_budget_are_refused():
    with pytest.raises(UserError, match="got 3 decouplings for trials=2"):
        texts("even", trials=2)


@pytest.mark.parametrize("strategy", ["random", "optuna(sampler=tpe", "optuna(sampler=cmaes", "surrogate(initial=1"])
def test_a_search_evaluates_them_first_and_within_its_budget(strategy):
    evaluate = Recorded(separable_table(SPACE))
    name = f"{strategy}{',' if '(' in strategy else '('}trials=6,first=[even,'balanced(3)'])"
    find(name, SPACE, evaluate)
    first = first_decouplings(("even", "balanced(3)"), make_problem(SPACE), 6)
    assert evaluate.asked[: len(first)] == first and len(evaluate.asked) == len(set(evaluate.asked)) == 6


def test_hyperband_begins_with_them():
    evaluate = Recorded(separable_table(SPACE))
    asked = []
    find("hyperband(trials=6,first=[even])", SPACE, lambda point, fidelity=1.0: (asked.append(point), evaluate(point))[1])
    assert asked[:3] == first_decouplings(("even",), make_problem(SPACE), 6)


def test_without_them_a_strategy_is_written_as_ever():
    assert str(STRATEGIES.resolve("random(trials=4)")) == "random(trials=4)"
    assert 'first=[even,"even(3)"]' in str(STRATEGIES.resolve("random(first=[even,'even(3)'])")).replace("'", '"')


def test_the_method_s_own_head_where_the_space_has_it():
    assert [texts("even(2)", space=make_space(heads, num_blocks=2)) for heads in (["linear", "mlp_sr"], ["linear", "mlp"])] == [
        ["3:mlp_sr"],
        ["3:linear"],
    ]
