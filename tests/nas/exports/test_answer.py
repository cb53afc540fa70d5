"""The program beside exported networks has the rules of the run, and no part of this project."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.exits import confidence as rules
from nas.exports import answer


@pytest.mark.parametrize("rule", rules.CONFIDENCES)
@pytest.mark.parametrize("bounded", [False, True])
def test_a_rule_is_as_sure_as_in_the_run(rule: str, bounded: bool) -> None:
    torch.manual_seed(0)
    before, logits = torch.randn(2, 50, 10) * 3
    raw = torch.randn(50, 10).tanh() if bounded else None
    for earlier in (None, before):
        wanted = rules.confidence(rules.CONFIDENCES[rule], logits, earlier, raw)
        given = [None if tensor is None else tensor.numpy() for tensor in (earlier, raw)]
        found = answer.confidence(rule, logits.numpy(), *given)
        assert found.dtype == np.float32
        torch.testing.assert_close(torch.from_numpy(found), wanted)


def test_a_rule_is_sure_of_what_has_no_other_answer() -> None:
    certain = np.array([[0.0, 2000.0, 0.0]], np.float32)
    for rule in ("max_softmax", "margin", "entropy"):
        assert answer.confidence(rule, certain, None, None) == 1, rule
    assert answer.confidence("agreement", certain, certain, None) == 1


def test_all_rules_are_there_and_another_is_refused() -> None:
    assert set(answer.RULES) == set(rules.CONFIDENCES)
    with pytest.raises(ValueError, match="max_softmax, margin"):
        answer.confidence("most", np.zeros((1, 3)), None, None)
