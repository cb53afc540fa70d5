"""Rows of runs that are trained together are those of runs that are trained alone, and what has to be alone is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import nas
from methods.training import prefix_tree
from nas.budget import Budget
from nas.notice import heard_notices
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_comparison import compare

POINTS = ("2:linear 4:linear", "2:linear", "3:linear", "2:linear 5:linear")
SAME = (
    "run",
    "status",
    "validation_error",
    "train_loss",
    "best_iteration",
    "weights_digest",
    "test_error",
    "peak_activation_bytes",
)
SEARCH: dict[str, Any] = {
    "space": "small(width=0.25,heads=[linear],num_blocks=[1,3])",
    "task": "digits(validation=0.4)",
    "strategy": "random(trials=6)",
    "iterations": 3,
    "at_once": 3,
}


def test_the_rows_are_those_of_each_alone(tmp_path: Path) -> None:
    alone, together = (
        compare(tmp_path / str(together), ["dgl", "backprop"], POINTS, together=together).run() for together in (False, True)
    )
    assert [[row[name] for name in SAME] for row in together] == [[row[name] for name in SAME] for row in alone]
    assert [row["trained_together"] for row in together] == ["4"] * 8 + [""] * 2
    assert not any(row.get("trained_together") for row in alone)
    assert not list((tmp_path / "True" / "runs").rglob("checkpoint*"))


def test_what_is_there_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(tmp_path, ["dgl"], POINTS[:2], 1, together=True).run()
    trained = []
    train = prefix_tree.train_together

    def counted(methods: Any, *given: Any, **named: Any) -> Any:
        trained.append(len(methods))
        return train(methods, *given, **named)

    monkeypatch.setattr("nas.evaluation.run_training.train_together", counted)
    rows = compare(tmp_path, ["dgl"], POINTS, 1, together=True).run()
    assert len(rows) == 4 and trained == [2]


def test_what_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    comparison = compare(tmp_path, ["dgl"], POINTS, 1, together=True)
    (method,) = comparison.points
    run = comparison._runs(method)[0]
    claim = run.evaluator.claim(run.decoupling)
    with claim:
        nas.evaluation.together.finish_together(run.evaluator, comparison.points[method])
        assert not run.is_done
    rows = comparison.run()
    assert [row["trained_together"] for row in rows] == ["", "3", "3", "3"]


@pytest.mark.parametrize("at_most", [1, 2, 3])
def test_what_is_too_much_for_the_memory_is_trained_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_most: int
) -> None:
    train = prefix_tree.train_together

    def full(methods: Any, *given: Any, **named: Any) -> Any:
        if len(methods) > at_most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")
        return train(methods, *given, **named)

    monkeypatch.setattr("nas.evaluation.run_training.train_together", full)
    told: list[str] = []
    with heard_notices(told.append):
        rows = compare(tmp_path, ["dgl"], POINTS, 1, together=True).run()
    assert [row.get("trained_together", "") for row in rows] == (["2"] * 4 if at_most > 1 else [""] * 4)
    assert {row["status"] for row in rows} == {"ok"} and "4 runs together are out of memory: 3.00 GiB more" in " ".join(told)


def test_an_answer_does_not_outlive_the_row_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = compare(tmp_path, ["dgl"], POINTS[:2], 1, together=True)
    run = comparison._runs(next(iter(comparison.points)))[0]
    evaluator, points = run.evaluator, next(iter(comparison.points.values()))

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(evaluator, "_append", full)
        nas.evaluation.together.finish_together(evaluator, points, 0.5)
    (alone,) = compare(tmp_path / "alone", ["dgl"], POINTS[1:2], 1).run()
    evaluator(points[1])
    row = evaluator.recorded(points[1])
    assert row is not None and row["weights_digest"] == alone["weights_digest"] and not row.get("trained_together")


def test_too_many_failures_end_it_before_the_next_seed(tmp_path: Path) -> None:
    budget = Budget(max_failures=2)
    comparison = compare(tmp_path, ["dgl"], POINTS, 3, together=True, rates=[1e20], budget=budget)
    with pytest.raises(UserError, match="--max-failures is 2"):
        comparison.run()
    assert {row["seed"] for row in comparison.log.rows()} == {"0"}


def test_a_search_trains_what_is_in_flight_together(tmp_path: Path) -> None:
    tables = []
    for together in (False, True):
        places = {"results": tmp_path / str(together), "runs": tmp_path / "runs" / str(together)}
        nas.search(**SEARCH, **places, train_together=together)
        tables.append(nas.read_results(tmp_path / str(together) / "search.csv").sort_values("decoupling", ignore_index=True))
    alone, trained = tables
    names = ["decoupling", "validation_error", "train_loss", "run"]
    pd.testing.assert_frame_equal(alone[names], trained[names])
    assert set(trained["trained_together"]) <= {2, 3}
    trials = [nas.read_results(tmp_path / str(together) / "trials.csv")["decoupling"].tolist() for together in (False, True)]
    assert trials[0] == trials[1]


def test_a_search_trains_in_part_together_too(tmp_path: Path) -> None:
    asked = SEARCH | {"strategy": "hyperband(trials=2,min_fidelity=0.3)", "iterations": 9}
    tables = []
    for together in (False, True):
        places = {"results": tmp_path / str(together), "runs": tmp_path / "runs" / str(together)}
        nas.search(**asked, **places, train_together=together)
        rows = nas.read_results(tmp_path / str(together) / "search.csv")
        tables.append(rows.sort_values(["decoupling", "iterations_trained"], ignore_index=True))
    names = ["decoupling", "iterations_trained", "validation_error", "train_loss", "weights_digest", "run"]
    pd.testing.assert_frame_equal(tables[0][names], tables[1][names])
    assert tables[1]["iterations_trained"].notna().any() and tables[1]["trained_together"].max() > 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at_once": 1}, "add --at-once N"),
        ({"workers": 2}, "leave one of them out"),
        ({"method": "man(dgl)"}, "has to be trained alone"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_search_that_cannot_is_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        nas.search(**SEARCH | given, results=tmp_path, runs=tmp_path / "runs", train_together=True)


def test_a_search_that_looks_scores_up_trains_nothing_together(tmp_path: Path) -> None:
    nas.search(**SEARCH, results=tmp_path, runs=tmp_path / "runs")
    table = f"tabular(path='{tmp_path / 'search.csv'}')"
    with pytest.raises(UserError, match="for searches that train"):
        nas.search(**SEARCH, evaluator=table, results=tmp_path, runs=tmp_path / "runs", train_together=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decoupling": ["even(2)"]}, "several decouplings"),
        ({"parallel": "stages(processes=2)"}, "leave one of them out"),
        ({"grow": "frozen"}, "leave --grow and --extend out"),
        ({"measure": ["energy_joules"]}, "leave --measure out"),
        ({"methods": ["man(dgl)"]}, "has to be trained alone"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_an_evaluation_that_cannot_is_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"methods": ["dgl"], "decoupling": ["even(2)", "even(3)"], "iterations": 2} | given
    with pytest.raises(UserError, match=message):
        nas.evaluate("small", "digits", **asked, results=tmp_path, runs=tmp_path / "runs", train_together=True)
