"""Adaptive inference is each sample run alone, and is the rule applied to the logits of all exits."""

import math
from collections import Counter
from typing import Any

import pytest
import torch

from methods.method import Carry, Method
from methods.table import traits
from nas.exits.adaptive import adaptive
from nas.exits.answers import exit_answers
from nas.exits.confidence import CONFIDENCES, ConfidenceRule, largest
from nas.testing import toy_batch
from spaces.notation.errors import UserError
from tests.methods.test_contract import EVERYWHERE, NUM_CLASSES, build, parts

BLOCKS = 3


WITH_EXITS = [case for case in EVERYWHERE if traits(parts(case)[0]).has_exit_logits]


def untrained(case: str) -> tuple[Method, torch.Tensor, torch.Tensor]:
    """A method in float64 on a batch, and the logits (K, N, C) of its exits."""
    method = build(case).double().eval()
    x, _ = toy_batch(method, 12)
    x = x if x.dtype == torch.long else x.double()
    with torch.no_grad():
        return method, x, torch.stack(list(method.exits(x)))


def plain(rule: str, case: str) -> ConfidenceRule:
    """The rule; of outputs that are bounded already `sigmoid` is their largest, as in Associated Learning's code."""
    if rule == "sigmoid" and "first_decoder" in case:
        return lambda outputs, before: outputs.amax(1).clamp(min=0)
    return CONFIDENCES[rule]


def by_hand(exits: torch.Tensor, rule: str, threshold: float, depth: int, case: str = "") -> tuple[torch.Tensor, list[int]]:
    """Sample by sample: the first exit whose confidence is the threshold or more."""
    logits, depths = [], []
    for n in range(exits.shape[1]):
        own = exits[:depth, n : n + 1]
        sure = [float(plain(rule, case)(own[k], own[k - 1] if k else None)) for k in range(depth)]
        leaves = next((k for k, confidence in enumerate(sure) if confidence >= threshold), depth - 1)
        logits.append(own[leaves, 0])
        depths.append(leaves + 1)
    return torch.stack(logits), depths


def thresholds(exits: torch.Tensor, rule: str, case: str = "") -> list[float]:
    """Between the two confidences in the middle of each exit's but the last; those of the same words in another order differ in
    rounding alone, and are one."""
    found = []
    for k, logits in enumerate(exits[:-1]):
        sure = plain(rule, case)(logits, exits[k - 1] if k else None)
        values = sure[sure > 0].round(decimals=9).unique()
        if len(values) > 1:
            middle = len(values) // 2
            found.append(float(values[middle - 1 : middle + 1].mean()))
    return found


@pytest.mark.parametrize("case", WITH_EXITS)
def test_every_sample_is_answered_as_if_it_ran_alone(case: str) -> None:
    method, x, exits = untrained(case)
    left: Counter[int] = Counter()
    for rule in CONFIDENCES:
        for threshold in thresholds(exits, rule, case):
            answers = adaptive(method, x, CONFIDENCES[rule], threshold)
            logits, depths = by_hand(exits, rule, threshold, len(exits), case)
            alone = [adaptive(method, one, CONFIDENCES[rule], threshold) for one in x.split(1)]
            assert answers.depths.tolist() == [int(one.depths) for one in alone] == depths, rule
            torch.testing.assert_close(answers.logits, logits, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(answers.logits, torch.cat([one.logits for one in alone]), atol=1e-10, rtol=1e-10)
            left.update(depths)
    assert len(exits) == 1 or (len(left) > 1 and max(left) == len(exits))  # some leave and some stay


@pytest.mark.parametrize("case", ["dgl", "al on lstm"])
def test_temperatures_and_a_depth(case: str) -> None:
    method, x, exits = untrained(case)
    temperatures = (0.5, 2.0, 1.5)
    cooled = exits / torch.tensor(temperatures)[:, None, None]
    threshold = thresholds(cooled, "margin")[0]
    for depth in (1, 2, 3):
        answers = adaptive(method, x, CONFIDENCES["margin"], threshold, temperatures=temperatures, max_depth=depth)
        logits, depths = by_hand(cooled, "margin", threshold, depth)
        assert answers.depths.tolist() == depths and max(depths) == depth
        torch.testing.assert_close(answers.logits, logits, atol=1e-10, rtol=1e-10)


class Watched:
    """Of each call of a method's `run_block` and `exit_logits`: how many samples came, and how many columns of tokens."""

    def __init__(self, method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blocks: list[int] = []
        self.answers: list[int] = []
        self.columns: list[int] = []
        run, answer = method.run_block, method.exit_logits

        def run_block(k: int, carry: Carry) -> Carry:
            following = run(k, carry)
            activation: Any = following.h
            self.blocks.append(len(activation[0] if isinstance(activation, tuple) else activation))
            if isinstance(activation, tuple):
                self.columns.append(activation[0].shape[1])
            return following

        def answered(k: int, carry: Carry) -> torch.Tensor:
            logits = answer(k, carry)
            self.answers.append(len(logits))
            return logits

        monkeypatch.setattr(method, "run_block", run_block)
        monkeypatch.setattr(method, "exit_logits", answered)


@pytest.mark.parametrize("case", ["dgl", "dgl on lstm", "al on transformer"])
def test_who_has_left_costs_nothing(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, x, exits = untrained(case)
    threshold = thresholds(exits, "max_softmax")[0]
    _, depths = by_hand(exits, "max_softmax", threshold, len(exits))
    there = [sum(depth > k for depth in depths) for k in range(max(depths))]
    watched = Watched(method, monkeypatch)
    adaptive(method, x, CONFIDENCES["max_softmax"], threshold)
    assert watched.blocks == watched.answers == there and there[0] > there[-1]
    if watched.columns:
        lengths = (x != 0).sum(1)
        assert watched.columns == [x.shape[1], *(int(lengths[torch.tensor(depths) > k].max()) for k in range(1, len(there)))]


def test_it_stops_when_nobody_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    method, x, _ = untrained("dgl")
    watched = Watched(method, monkeypatch)
    assert adaptive(method, x, CONFIDENCES["max_softmax"], 1 / NUM_CLASSES).depths.unique().tolist() == [1]
    assert len(watched.blocks) == 1


def test_nothing_is_copied_while_all_stay(operator_calls: Any) -> None:
    method, x, _ = untrained("dgl")
    with operator_calls() as calls:
        answers = adaptive(method, x, CONFIDENCES["max_softmax"], 1.0)
    assert answers.depths.unique().tolist() == [BLOCKS]
    assert calls.of[torch.ops.aten.index] == calls.of[torch.ops.aten.index_select] == 0


@pytest.mark.parametrize("case", [case for case in EVERYWHERE if case not in WITH_EXITS])
def test_exits_that_give_no_logits_are_refused(case: str) -> None:
    method = build(case).eval()
    with pytest.raises(UserError, match="one a class of 4, but exit 0 of this method gives"):
        adaptive(method, toy_batch(method)[0], CONFIDENCES["margin"], 0.5)


def test_at_infinity_all_stay_though_confidences_round_to_one() -> None:
    method, x, exits = untrained("dgl")
    hot = [1e-9] * len(exits)
    assert (adaptive(method, x, CONFIDENCES["max_softmax"], 1.0, temperatures=hot).depths == 1).any()
    answers = adaptive(method, x, CONFIDENCES["max_softmax"], float("inf"), temperatures=hot)
    assert (answers.depths == len(exits)).all()
    torch.testing.assert_close(answers.logits, exits[-1] / 1e-9)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("-inf"), float("nan")])
def test_a_threshold_that_no_confidence_can_be_is_refused(threshold: float) -> None:
    method = build("dgl").eval()
    with pytest.raises(UserError, match="a threshold is a confidence above 0 and at most 1"):
        adaptive(method, toy_batch(method)[0], CONFIDENCES["margin"], threshold)


@pytest.mark.parametrize("depth", [0, 4])
def test_a_depth_that_the_network_has_not_is_refused(depth: int) -> None:
    method = build("dgl").eval()
    with pytest.raises(UserError, match=r"in 1\.\.3 of this network"):
        adaptive(method, toy_batch(method)[0], CONFIDENCES["margin"], 0.5, max_depth=depth)


def bounded(spec: str) -> tuple[Method, torch.Tensor]:
    """AL whose first decoder is bounded, in float64, and a batch."""
    method = build(spec).double().eval()
    return method, toy_batch(method, 64)[0].double()


@pytest.mark.parametrize(
    "spec", ["al(activation=sigmoid,first_decoder=bounded)", "al(first_decoder=bounded)", "al(first_decoder=sigmoid)"]
)
@pytest.mark.parametrize("temperatures", [None, (0.1, 0.2, 0.3)])
def test_als_own_rule_is_the_largest_output_where_outputs_are_bounded(spec: str, temperatures: tuple[float, ...] | None) -> None:
    """inference_adapt of the thesis: of y = h_1(...), a sample goes on where max(y) < threshold. No temperature has a say."""
    method, x = bounded(spec)
    with torch.no_grad():
        scores = [y.amax(1) for y in method.exits(x)]
    threshold = float(scores[0][scores[0] > 0].median())
    expected = [next((k + 1 for k in range(2) if float(scores[k][n]) >= threshold), 3) for n in range(len(x))]
    answers = adaptive(method, x, CONFIDENCES["sigmoid"], threshold, temperatures=temperatures)
    assert answers.depths.tolist() == expected and len(set(expected)) > 1
    recorded = exit_answers(method, iter([(x, torch.zeros(len(x), dtype=torch.long))]), "fp32")
    recorded = recorded.divided(temperatures) if temperatures else recorded
    torch.testing.assert_close(recorded.confidences(CONFIDENCES["sigmoid"]), torch.stack(scores).clamp(min=0))


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [("al(first_decoder=bounded)", -1.0, 1.0), ("al(activation=sigmoid,first_decoder=bounded)", 0.0, 1.0)],
)
@pytest.mark.parametrize("rule", ["max_softmax", "margin", "agreement", "entropy"])
def test_a_threshold_that_no_bounded_output_reaches_is_refused(spec: str, low: float, high: float, rule: str) -> None:
    method, x = bounded(spec)
    others = (NUM_CLASSES - 1) * math.exp(low - high)
    p, q = 1 / (1 + others), math.exp(low - high) / (1 + others)
    entropy = 1 + (p * math.log(p) + (NUM_CLASSES - 1) * q * math.log(q)) / math.log(NUM_CLASSES)
    most = {"max_softmax": p, "agreement": p, "margin": p - q, "entropy": entropy}[rule]
    adaptive(method, x, CONFIDENCES[rule], most - 1e-3)
    with pytest.raises(UserError, match=f"by the rule {rule} .* reach {most:.4f}"):
        adaptive(method, x, CONFIDENCES[rule], most + 1e-3)
    adaptive(method, x, CONFIDENCES[rule], float("inf"))
    adaptive(method, x, CONFIDENCES["sigmoid"], 0.99)
    cold = adaptive(method, x, CONFIDENCES[rule], most + 1e-3, temperatures=(0.01,) * 3)  # divided, they reach more
    assert len(cold.depths) == len(x)


def test_the_surest_bounded_outputs_by_entropy_have_several_large_ones() -> None:
    """Of 100 classes within [0, 1], found by trying every number of large outputs, each entropy summed in plain Python."""
    values = []
    for k in range(1, 100):
        total = k * math.e + 100 - k
        shares = [math.e / total] * k + [1 / total] * (100 - k)
        values.append(1 + sum(share * math.log(share) for share in shares) / math.log(100))
    found = largest(CONFIDENCES["entropy"], 100, (0.0, 1.0), [1.0])
    assert found == pytest.approx(max(values), abs=1e-12) and values.index(max(values)) > 0


def test_two_exits_of_which_one_is_the_last_cannot_agree() -> None:
    method, x, _ = untrained("dgl")
    with pytest.raises(UserError, match="by the rule agreement the exits before the last of this method reach 0.0000 at most"):
        adaptive(method, x, CONFIDENCES["agreement"], 0.5, max_depth=2)
    adaptive(method, x, CONFIDENCES["agreement"], 0.5)
    adaptive(method, x, CONFIDENCES["agreement"], 0.5, max_depth=1)  # all leave there
