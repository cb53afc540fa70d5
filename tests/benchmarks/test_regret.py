"""The regret benchmark on a toy table, against a walk over the points in the order in which they were asked for."""

import random
import sys
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks import regret
from nas.cli.config import parse
from nas.commands.problem import read_problem
from nas.evaluation.tabular import Tabular
from nas.evaluations import Evaluations, when_told
from nas.problem import silent
from nas.records.columns import COUNTS
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES

SPACE = "small(width=0.25,num_blocks=[1,3],heads=[linear])"


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The path of a table that was drawn, not trained, and the problem that it answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(regret, "TRIALS", 6)
    monkeypatch.setattr(regret, "SLOW", {"gp": (1, 4)})
    options = {"space": SPACE, "task": "digits", "iterations": 20, "batch_size": 32}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(options))
    settings = parse(["search", "--config", "toy.yaml"]).options
    problem, rng = read_problem(settings, settings.method, 0, settings.lr, settings.schedule), random.Random(0)
    ResultsLog(tmp_path / "toy.csv").append_all(
        [
            {
                **replace(problem, seed=seed).key(point),
                "status": "ok",
                "validation_error": rng.random(),
                "validation_loss": 1.0,
                "test_error": rng.random(),
                "pipeline_speedup_bound": 1.0,
                "run": "toy",
                "weights_digest": "0" * 16,
                **dict.fromkeys(COUNTS, 1000),
                "num_blocks": point.num_blocks,
            }
            for seed in (0, 1)
            for point in problem.space.enumerate()
        ]
    )
    return tmp_path / "toy.csv", problem


def run(monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["benchmarks/regret.py", "--table", "toy.csv", "--out", "out/regret.csv", *argv])
    regret.main()
    return pd.read_csv("out/regret.csv")


def expected(path, problem, strategy, seed):
    """Regret after each unique training, from the table itself."""
    frame = pd.read_csv(path)
    true = {point: sum(group["test_error"]) / 2 for point, group in frame.groupby("decoupling")}
    seen = frame[frame["seed"] == seed % 2].set_index("decoupling")["validation_error"]
    problem, asked = replace(problem, seed=seed), []
    tabular = Tabular(problem, path)

    def evaluate(decoupling):
        asked.append(str(decoupling))
        return tabular(decoupling)

    STRATEGIES.build(strategy).search(problem, Evaluations(when_told(evaluate)), silent)
    best = [min(asked[:n], key=lambda point: seen[point]) for n in range(1, len(asked) + 1)]
    return [true[point] - min(true.values()) for point in best]


def test_every_strategy_with_a_budget_is_measured_as_a_walk_over_its_questions_is(table, monkeypatch):
    path, problem = table
    frame = run(monkeypatch, "--seeds", "2")
    curves = regret.curves(frame.astype(str).to_dict("records"))
    assert [name.partition("(")[0] for name in curves] == ["optuna"] * 5 + ["surrogate", "random"]
    for strategy, steps in curves.items():
        assert list(steps.columns) == ([0] if "gp" in strategy else [0, 1])
        for seed in steps:
            wanted = expected(path, problem, strategy, seed)
            assert steps[seed].tolist() == pytest.approx(wanted) and len(wanted) == (4 if "gp" in strategy else 6)


def test_a_row_is_where_the_incumbent_changes_and_at_the_end(table, monkeypatch):
    frame = run(monkeypatch, "--seeds", "2")
    for _, group in frame.groupby(["strategy", "seed"]):
        changed = group["decoupling"].ne(group["decoupling"].shift()).tolist()
        assert all(changed[:-1]) and group["unique_trainings"].iloc[0] == 1
        assert group["unique_trainings"].is_monotonic_increasing and group["unique_trainings"].is_unique
    assert set(frame["table_rows"]) == {32} and not frame["commit"].isna().any()


def test_started_again_it_goes_on(table, monkeypatch):
    first = run(monkeypatch, "--seeds", "1")
    more = run(monkeypatch, "--seeds", "2")
    pd.testing.assert_frame_equal(more.head(len(first)), first)
    assert not more.tail(len(more) - len(first))["seed"].eq(0).any()
    pd.testing.assert_frame_equal(run(monkeypatch, "--seeds", "2"), more)


def test_the_plot_shows_means_intervals_and_answers_in_percent_points(table, monkeypatch):
    curve = pd.DataFrame({seed: accumulate([0.3, 0.2, 0.1 + seed / 100], min) for seed in range(5)}, index=[1, 2, 3])
    answers = pd.DataFrame({"engine": ["adjoint", "identity"], "decoupling": ["a", "b"], "equivalent_trainings": [3.0, 5.0]})
    figure = regret.plot({"optuna(sampler=tpe,trials=3)": curve}, answers, pd.Series({"a": 0.01, "b": 0.04}), 0.02)
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata() == pytest.approx([30, 20, 12])
    # Student's t of 4 degrees of freedom, and the deviation of 10, 11, .., 14
    band = axes.collections[0].get_paths()[0].vertices
    at_three = sorted(set(np.round(band[band[:, 0] == 3][:, 1], 6)))
    assert at_three[0] == pytest.approx(12 - 2.7764 * 2.5**0.5 / 5**0.5, abs=1e-3)
    assert at_three[-1] == pytest.approx(12 + 2.7764 * 2.5**0.5 / 5**0.5, abs=1e-3)
    assert [tuple(marks.get_offsets()[0]) for marks in axes.collections[1:]] == [(3, 1), (5, 4)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "optuna tpe (n=5)",
        "sedona adjoint (n=1)",
        "sedona identity (n=1)",
        "every decoupling trained once",
    ]
