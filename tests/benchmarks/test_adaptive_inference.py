"""What the benchmark of adaptive inference says of errors and depths, against the logits of all exits."""

from pathlib import Path

import pytest
import torch

from benchmarks.adaptive_inference import REFERENCE, chosen, measured, network, trained
from nas.exits.answers import exit_answers
from nas.exits.confidence import CONFIDENCES
from nas.exits.curves import leaving
from nas.tasks import TASKS


@pytest.mark.parametrize("method", ["al", "dgl"])
def test_errors_and_shares_are_those_of_the_exits(method, capsys):
    data = TASKS.build("digits", Path("nowhere"))
    build = network(data, "small(width=0.5)", method, "even(3)")
    model = trained(build, data, 2, 0.001, torch.device("cpu"))
    batches = list(data.eval_batches(data.test(), 100))
    points = [*chosen(build, model, data), REFERENCE]
    rows = measured(model, batches, points, 1, torch.device("cpu"))
    answers = exit_answers(model, iter(batches), "fp32")
    assert [(row["rule"], row["threshold"]) for row in rows] == points and len(capsys.readouterr().out.splitlines()) == len(rows)
    assert {rule for rule, _ in points[:-1]} == {*CONFIDENCES}
    for row in rows:
        exits = leaving(answers.confidences(CONFIDENCES[row["rule"]]), row["threshold"])
        answered = answers.logits.argmax(2).gather(0, exits[None])[0]
        assert row["test_error"] == pytest.approx((answered != answers.y).double().mean().item())
        assert row["full_path_test_error"] == pytest.approx(answers.errors()[-1])
        shares = [float((exits == k).double().mean()) for k in range(3)]
        assert list(map(float, row["shares"].split())) == pytest.approx(shares, abs=1e-4)
        assert row["samples"] == len(answers.y) and row["chosen"] == (row is not rows[-1])
