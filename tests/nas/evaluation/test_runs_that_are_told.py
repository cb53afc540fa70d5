"""Whoever watches is told of each run that is trained, how far it is, and of how many runs a command has done."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.records.results import Results
from tests.nas.evaluation.test_comparison import compare
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem


class Told:
    """What would be told at each report: of each run the steps, and of the command."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.commands: list[tuple[str, int, int]] = []
        self.at_once = 0

    def __call__(self, what: str, done: int, total: int, **figures: Any) -> None:
        tasks = json.loads(self.results.heartbeat.text())["tasks"]
        runs = [task for task in tasks if "run" in task]
        self.at_once = max(self.at_once, len(runs))
        for task in runs:
            if "done" in task and (task["done"], task["total"]) not in self.runs[task["run"]]:
                self.runs[task["run"]].append((task["done"], task["total"]))
        self.commands += [(task["what"], task["done"], task["total"]) for task in tasks if "command" in task and "done" in task]


def test_a_run_is_told_from_its_first_iteration_to_its_last(tmp_path: Path) -> None:
    problem = make_problem(tmp_path)
    told = Told(problem.results)
    row = make(problem, report=told).run(POINT)
    assert told.runs == {row["run"]: [(done, 8) for done in range(1, 9)]}
    assert json.loads(problem.results.heartbeat.text())["tasks"] == []


def test_a_training_in_part_is_told_up_to_where_it_stops(tmp_path: Path) -> None:
    problem = make_problem(tmp_path)
    told = Told(problem.results)
    made = make(problem, report=told, test=False)
    made(POINT, 0.5)
    assert told.runs == {made.run_folder(POINT).name: [(done, 4) for done in range(1, 5)]}


def test_runs_that_are_trained_together_are_told_each(tmp_path: Path) -> None:
    told = Told(Results(tmp_path))
    rows = compare(tmp_path, ["dgl"], ("2:linear", "3:linear", "2:linear 4:linear"), 1, report=told, together=True).run()
    assert told.at_once == 3 and set(told.runs) == {row["run"] for row in rows}
    assert all(steps[-1] == (6, 6) for steps in told.runs.values())


@pytest.mark.slow
def test_a_command_tells_how_many_it_has_done(tmp_path: Path) -> None:
    told = Told(Results(tmp_path / "results"))
    given: dict[str, Any] = {"iterations": 2, "results": tmp_path / "results", "runs": tmp_path / "runs", "progress": told}
    nas.evaluate("small(width=0.25)", "digits", methods=["dgl"], decoupling=["2:linear 4:linear"], seeds=2, **given)
    assert ("runs", 1, 2) in told.commands and told.at_once == 1
    told.commands.clear()
    nas.search("small(width=0.25)", "digits(validation=0.4)", strategy="random(trials=2)", **given)
    assert ("trials", 1, 2) in told.commands
