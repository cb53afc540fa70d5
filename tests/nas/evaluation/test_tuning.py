"""Tuning: what validates best is chosen, ties and failed tries have an answer."""

from typing import Any

import pytest

from methods.training.settings import TrainingSettings
from nas.evaluation.tuning import Tuning, chosen

SETTINGS = TrainingSettings(iterations=90)


def row(error: float, loss: float | None = 1.0, status: str = "ok") -> dict[str, str]:
    return {"status": status, "validation_error": repr(error), "validation_loss": "" if loss is None else repr(loss)}


def tuning(*rates: float, **others: Any) -> Tuning:
    return Tuning.of(SETTINGS, rates, ["cosine"], [1e-4], **others)


FAILED = row(1.0, None, "diverged: the loss of stage 0 is nan at iteration 3")


def test_each_is_tried_with_each_once() -> None:
    grid = Tuning.of(SETTINGS, [0.1, 0.2, 0.1], ["cosine", "multistep"], [0.0, 5e-4], 30).tries
    assert len(grid) == len(set(grid)) == 8 and {one.iterations for one in grid} == {30}
    assert [(one.lr, one.weight_decay) for one in grid[:3]] == [(0.1, 0.0), (0.1, 5e-4), (0.1, 0.0)]
    assert tuning(0.1, 0.1).tries == () and tuning(0.1, 0.1).settings == (tuning(0.1).settings[0],)


@pytest.mark.parametrize(
    ("rows", "lr"),
    [
        ([row(0.3), row(0.2), row(0.4)], 0.2),
        ([row(0.3, 2.0), row(0.4, 0.1), row(0.3, 1.5)], 0.3),  # of equal errors the lower loss
        ([row(0.3), row(0.3), row(0.3)], 0.1),  # of equals in both the first
        ([FAILED, row(1.0, 9.0), FAILED], 0.2),  # whatever did not fail is better than what did
        ([row(1.0, None, "out of memory: ..."), FAILED, row(0.9)], 0.3),
        ([FAILED, FAILED, FAILED], 0.1),
    ],
)
def test_the_best_on_validation_is_chosen(rows: list[dict[str, str]], lr: float) -> None:
    choice = chosen("dgl", tuning(0.1, 0.2, 0.3, iterations=30), rows)
    assert choice.settings.lr == lr and choice.settings.iterations == 90 and choice.iterations == 30
    failed = [one["status"] != "ok" for one in rows]
    assert choice.failed == sum(failed) and (choice.validation_error is None) == all(failed)


def test_a_choice_is_told_in_a_line() -> None:
    told = str(chosen("dgl", tuning(0.1, 0.2), [FAILED, row(0.125)]))
    assert told == (
        f"dgl: lr 0.2, {SETTINGS.schedule}, weight decay 0.0001 (validation error 12.50 %, best of 2 tries, 1 of which failed)"
    )
    assert "all 2 tries of 90 iterations failed; the first is taken, lr 0.1" in str(chosen("dgl", tuning(0.1, 0.2), [FAILED] * 2))
