"""Partial trainings: stopped after a share of the iterations, continued to the bit, and in no table."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.problem import Problem
from nas.records.attempts import standing_rows
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


def figures(row: dict[str, str] | None) -> dict[str, str]:
    """What came out, without what takes time and where it was."""
    assert row is not None
    names = ("run", "status", "weights_digest", "validation_error", "validation_loss", "train_loss", "best_iteration")
    return {name: row[name] for name in names}


@pytest.mark.parametrize("fidelities", [(0.25, 1.0), (1 / 8, 0.5, 0.75, 1.0)])
def test_a_training_in_parts_is_the_whole_one_to_the_bit(tmp_path: Path, fidelities: tuple[float, ...]) -> None:
    undisturbed, parted = make(make_problem(tmp_path / "a"), test=False), make(make_problem(tmp_path / "b"), test=False)
    whole = undisturbed(POINT)
    scores = [parted(POINT, fidelity) for fidelity in fidelities]
    assert scores[-1].error == whole.error and scores[-1].loss == whole.loss
    assert figures(parted.recorded(POINT)) == figures(undisturbed.recorded(POINT))
    rows = parted.log.rows()
    assert [row["iterations_trained"] for row in rows] == [*(str(round(8 * part)) for part in fidelities[:-1]), ""]
    assert len({row["run"] for row in rows}) == 1 and {row["iterations"] for row in rows} == {"8"}
    assert standing_rows(rows) == rows[-1:]
    assert not parted.run_folder(POINT).exists()
    assert "iterations_trained" not in undisturbed.log.rows()[0]
