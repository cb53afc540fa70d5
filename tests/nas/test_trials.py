"""trials.csv: who asked what, in which order, also where the answers were there already and where a search goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluation.by_fidelity import ByFidelity
from nas.evaluation.evaluator import Evaluator
from nas.evaluations import when_told
from nas.problem import Problem, Score, silent
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.runs.trained_run import run_name
from nas.searches import Searched, search_once
from nas.strategies import STRATEGIES
from nas.trials import Trials, search_key
from spaces.decoupling import Decoupling
from spaces.named import read_space

Rows = list[dict[str, str]]


class Known:
    """An evaluator whose rows say which search had each decoupling trained; scores are made up, none is trained."""

    def __init__(self, search: str, rows: dict[str, dict[str, str]]) -> None:
        self.search, self.rows, self.asked = search, rows, 0
        self.log, self.notes = ResultsLog(Path("nowhere")), ()
        self.stop_after: int | None = None

    def recorded(self, decoupling: Decoupling) -> dict[str, str] | None:
        return self.rows.get(str(decoupling))

    def __call__(self, decoupling: Decoupling) -> Score:
        self.asked += 1
        text = str(decoupling)
        self.rows.setdefault(text, {"run": f"run of {text}", "search": self.search})
        if self.asked == self.stop_after:
            raise KeyboardInterrupt
        return Score(len(text) / 100, float("nan"), 7, 2.0)


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    part = Split(torch.zeros(30, 4, 4, 1, dtype=torch.uint8), torch.arange(30) % 3)
    images = Images(part, part, lambda: part, 3, (0.5,), (0.3,))
    space = read_space("small(width=0.25,heads=[linear],num_blocks=[1,3])", (1, 4, 4), 3)
    return Problem(
        space,
        "dgl(label_smoothing=0.0)",
        "toy",
        images,
        TrainingSettings(iterations=1, batch_size=10),
        0,
        torch.device("cpu"),
        Results(tmp_path),
        tmp_path / "runs",
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the search's clock says; each look takes a second."""
    now = [100.0]

    def tick() -> float:
        now[0] += 1
        return now[0]

    monkeypatch.setattr("nas.trials.time.monotonic", tick)
    return now


def run(problem: Problem, strategy: str, rows: dict[str, dict[str, str]], *, stop_after: int | None = None) -> Searched:
    key = search_key(problem, strategy, "train")
    evaluator = Known(run_name(key), rows)
    evaluator.stop_after = stop_after
    return search_once(
        STRATEGIES.build(strategy),
        problem,
        when_told(evaluator),
        silent,
        trials=Trials(problem, key, ByFidelity(lambda _: evaluator, problem), command="here"),
    )


def trials(problem: Problem) -> Rows:
    return problem.results.log("trials.csv").rows()


def test_each_search_of_a_shared_folder_has_its_own_trajectory(problem: Problem, clock: list[float]) -> None:
    rows: dict[str, dict[str, str]] = {}
    searches = [("random(trials=4)", 0), ("random(trials=4)", 1), ("optuna(sampler=tpe,trials=4)", 0), ("exhaustive", 0)]
    found = [run(replace(problem, seed=seed), strategy, rows) for strategy, seed in searches]
    for (strategy, seed), searched in zip(searches, found, strict=True):
        own = [row for row in trials(problem) if (row["strategy"], row["seed"]) == (strategy, str(seed))]
        assert [row["decoupling"] for row in own] == [str(point) for point in searched.scores]
        assert [row["number"] for row in own] == [str(number + 1) for number in range(len(own))]
        assert [float(row["seconds"]) for row in own] == [1.0 + number for number in range(len(own))]
        assert [float(row["validation_error"]) for row in own] == [score.error for score in searched.scores.values()]
        assert all(row["run"] == f"run of {row['decoupling']}" and row["validation_loss"] == "" for row in own)
    assert len({row["search"] for row in trials(problem)}) == len(searches)
    asked = [row["decoupling"] for row in trials(problem)]
    assert [row["known"] for row in trials(problem)] == [str(point in asked[:place]) for place, point in enumerate(asked)]


@pytest.mark.parametrize("stop_after", range(1, 5))
def test_a_search_that_goes_on_writes_no_trial_twice_and_its_clock_goes_on(
    problem: Problem, clock: list[float], stop_after: int
) -> None:
    """Stopped between the row of a training and its trial, which is then still this search's own."""
    rows: dict[str, dict[str, str]] = {}
    with pytest.raises(KeyboardInterrupt):
        run(problem, "random(trials=4)", rows, stop_after=stop_after)
    clock[0] += 1000
    run(problem, "random(trials=4)", rows)
    run(problem, "random(trials=4)", rows)
    assert [row["number"] for row in trials(problem)] == ["1", "2", "3", "4"]
    assert [row["known"] for row in trials(problem)] == ["False"] * 4
    assert all(float(row["seconds"]) < 10 for row in trials(problem))


def test_other_data_another_space_and_other_objectives_are_other_searches(problem: Problem) -> None:
    other = Split(torch.ones(30, 4, 4, 1, dtype=torch.uint8), torch.arange(30) % 3)
    problems = [
        problem,
        replace(problem, data=replace(problem.data, train=other)),
        replace(problem, objectives=("error", "pipeline")),
        replace(problem, space=read_space("small(width=0.25,heads=[linear],num_blocks=[1,2])", (1, 4, 4), 3)),
    ]
    for one in problems:
        run(one, "random(trials=2)", {})
    assert len({row["search"] for row in trials(problem)}) == 4 and len(trials(problem)) == 8


def test_a_decoupling_that_is_asked_for_twice_is_two_trials(problem: Problem) -> None:
    class Twice:
        def search(self, problem: Problem, evaluate: Callable[[Decoupling], Score], report: Any) -> Any:
            for _ in range(2):
                evaluate(next(problem.space.enumerate()))
            return STRATEGIES.build("random(trials=1)").search(problem, evaluate, report)

    key = search_key(problem, "twice", "train")
    evaluator = Known(run_name(key), {})
    search_once(
        Twice(),
        problem,
        when_told(evaluator),
        silent,
        trials=Trials(problem, key, ByFidelity(lambda _: evaluator, problem), command="here"),
    )
    assert [row["number"] for row in trials(problem)] == ["1", "2", "3"]
    assert trials(problem)[0]["decoupling"] == trials(problem)[1]["decoupling"]


class KnownInPart(Known):
    """One that knows of fidelities."""

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, str] | None:
        return super().recorded(decoupling)


@pytest.mark.parametrize(("own_schedules", "anew"), [(False, ["5", "0", "4", "1"]), (True, ["5", "0", "9", "10"])])
def test_the_same_iterations_of_a_decoupling_cost_once(problem: Problem, own_schedules: bool, anew: list[str]) -> None:
    """0.49 and 0.52 of 10 are 5 both."""
    problem = replace(problem, settings=replace(problem.settings, iterations=10))
    key, point = search_key(problem, "rungs", "train"), next(iter(problem.space.enumerate()))
    evaluator = KnownInPart(run_name(key), {})
    scores = ByFidelity(lambda _: evaluator, problem, own_schedules=own_schedules)
    own = Trials(problem, key, scores, command="here")
    for fidelity in (0.49, 0.52, 0.9, 1.0):
        own.add(point, Score(0.5, 0.0, 1, 1.0), fidelity)
    assert [row["iterations_anew"] for row in trials(problem)] == anew


def test_a_trial_names_the_run_that_was_trained(problem: Problem) -> None:
    key = search_key(problem, "random(trials=1)", "train")
    evaluator = Evaluator(
        problem, problem.results.log("search.csv"), silent, command="here", test=False, labels={"search": run_name(key)}
    )
    own = Trials(problem, key, ByFidelity(lambda _: evaluator, problem), command="here")
    search_once(STRATEGIES.build("random(trials=1)"), problem, when_told(evaluator), silent, trials=own)
    (row,), (trial,) = evaluator.log.rows(), trials(problem)
    shared = ("run", "search", "decoupling", "data_digest", "validation_error", "status", "commit", "command")
    assert all(row[name] == trial[name] for name in shared) and trial["known"] == "False"
