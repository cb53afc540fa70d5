"""The figures of rankings on a small table that was drawn, against ranks and sums by hand."""

import random
import sys
from itertools import combinations
from statistics import fmean

import pandas as pd
import pytest

from benchmarks import rankings
from nas.records.results_log import ResultsLog

POINTS = [*(f"{cut}:linear" for cut in range(1, 6)), "uncut"]
SEEDS = (0, 1, 2)
ITERATIONS = {20: 2.0, 10: 1.0}  # of a whole and a short training, and its epochs


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Errors by (iterations, decoupling, seed), and in the folder the table and the history that hold them."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    errors = {(n, point, seed): (rng.random(), rng.random()) for n in ITERATIONS for point in POINTS for seed in SEEDS}
    rows = {n: [] for n in ITERATIONS}
    for (n, point, seed), (validation, test) in errors.items():
        cells = {"run": f"{n} {point} {seed}", "decoupling": point, "seed": seed, "iterations": n, "epochs": ITERATIONS[n]}
        rows[n].append({**cells, "status": "ok", "validation_error": validation, "test_error": test})
    ResultsLog(tmp_path / "toy.csv").append_all(rows[20] + rows[10])
    history = [
        {"run": row["run"], "training": 1, "decoupling": row["decoupling"], "seed": row["seed"], "epoch": epoch}
        | {"validation_error": row["validation_error"] if epoch == row["epochs"] else row["test_error"] ** 2}
        for row in rows[20] + rows[10]
        for epoch in (1.0, 2.0)
        if epoch <= row["epochs"]
    ]
    ResultsLog(tmp_path / "history.csv").append_all(history)
    return errors


def run(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/rankings.py", "--table", "toy.csv", "--out", "out/rankings.csv"])
    rankings.main()
    return pd.read_csv("out/rankings.csv")


def spearman(first, second):
    """1 - 6 sum d^2 / (n (n^2 - 1)), for values of which no two are equal."""
    n, ranks = len(first), [[sum(other < value for other in values) for value in values] for values in (first, second)]
    return 1 - 6 * sum((i - j) ** 2 for i, j in zip(*ranks, strict=True)) / (n * (n * n - 1))


def of_cuts(value):
    return [value(point) for point in POINTS[:-1]]


def test_every_figure_is_what_ranks_and_sums_by_hand_say(drawn, monkeypatch):
    frame = run(monkeypatch)
    assert set(frame["num_blocks"]) == {2} and set(frame["decouplings"]) == {5} and set(frame["table_rows"]) == {36}
    found = {(row.figure, row.seed, row.epochs): row.value for row in frame.fillna(-1).itertuples()}
    tests = {seed: of_cuts(lambda point, seed=seed: drawn[20, point, seed][1]) for seed in SEEDS}
    true = [fmean(errors) for errors in zip(*tests.values(), strict=True)]

    split = fmean(spearman(tests[one], tests[other]) for one, other in combinations(SEEDS, 2))
    assert found["split_half", -1, -1] == pytest.approx(split)
    assert found["reliability", -1, -1] == pytest.approx(max(0, 3 * split / (1 + 2 * split)))
    assert found["best_rho", -1, -1] ** 2 == pytest.approx(found["reliability", -1, -1])
    assert found["span", -1, -1] == pytest.approx(max(true) - min(true))
    assert found["last_cut", -1, -1] == pytest.approx(spearman([1, 2, 3, 4, 5], true))
    for seed in SEEDS:
        others = [fmean(tests[other][i] for other in SEEDS if other != seed) for i in range(5)]
        assert found["epoch", seed, 1] == pytest.approx(spearman([error**2 for error in tests[seed]], others))
        last = of_cuts(lambda point, seed=seed: drawn[20, point, seed][0])
        assert found["epoch", seed, 2] == pytest.approx(spearman(last, others))
    short = {seed: of_cuts(lambda point, seed=seed: drawn[10, point, seed][0]) for seed in SEEDS}
    short[-1] = [fmean(errors) for errors in zip(*short.values(), strict=True)]
    for seed, scores in short.items():
        assert found["short", seed, 1] == pytest.approx(spearman(scores, true))
        assert found["short_place", seed, 1] == 1 + sorted(scores).index(scores[true.index(min(true))])
        assert found["short_regret", seed, 1] == pytest.approx(true[scores.index(min(scores))] - min(true))
    assert len(found) == len(frame) == 6 + 3 * 2 + 4 * 3


def test_short_trainings_of_seeds_that_the_true_errors_lack_are_ranked_by_themselves(drawn, monkeypatch):
    rng, log = random.Random(1), ResultsLog(rankings.Path("toy.csv"))
    other = {(point, seed): rng.random() for seed in (3, 4) for point in POINTS}
    cells = {"iterations": 10, "epochs": 1.0, "status": "ok", "test_error": 0.5}
    log.append_all(
        [
            {**cells, "run": f"10 {point} {seed}", "decoupling": point, "seed": seed, "validation_error": error}
            for (point, seed), error in other.items()
        ]
    )
    found = run(monkeypatch).set_index("figure")["value"]
    true = of_cuts(lambda point: fmean(drawn[20, point, seed][1] for seed in SEEDS))
    seen = of_cuts(lambda point: fmean(drawn[10, point, seed][0] for seed in SEEDS))
    assert found["short_seen"] == pytest.approx(spearman(seen, true))
    unseen = of_cuts(lambda point: fmean(other[point, seed] for seed in (3, 4)))
    assert found["short_unseen"] == pytest.approx(spearman(unseen, true))


def test_seconds_are_those_of_searches_on_the_same_table_when_it_was_quiet(drawn, monkeypatch):
    """Half of 60 s, and a training of 80 / 4 s; the first was measured in a process of which all took twice as long."""
    same = {"table": "toy.csv", "table_rows": 15, "num_blocks": 2, "seed": 0}
    log = ResultsLog(rankings.Path("out/regret_seconds.csv"))
    log.append_all(
        [
            {**same, "strategy": "every decoupling, together", "trainings": 5, "seconds": 120.0, "training_seconds": 40.0},
            {**same, "strategy": "random", "trainings": 1, "seconds": 30.0, "training_seconds": 20.0},
            {**same, "strategy": "random", "trainings": 4, "seconds": 80.0, "training_seconds": 20.0},
            {**same, "strategy": "random", "trainings": 9, "seconds": 1.0, "training_seconds": 1.0, "table_rows": 10},
        ]
    )
    frame = run(monkeypatch)
    assert frame[frame["figure"] == "short_seconds"]["value"].tolist() == [pytest.approx(0.5 * 60 + 20)]


def test_started_again_only_what_changed_is_written(drawn, monkeypatch):
    first = run(monkeypatch)
    pd.testing.assert_frame_equal(run(monkeypatch), first)
    more = [{**row, "seed": "3", "run": f"{row['run']} again"} for row in ResultsLog(rankings.Path("toy.csv")).rows()[:18:3]]
    ResultsLog(rankings.Path("toy.csv")).append_all(more)
    grown = run(monkeypatch)
    pd.testing.assert_frame_equal(grown.head(len(first)), first)
    assert set(grown.tail(len(grown) - len(first))["table_rows"]) == {42}


def test_rows_of_trainings_that_failed_have_no_epochs():
    assert rankings.epochs_of([{"epochs": ""}, {}, {"epochs": "0.5"}]) == 0.5


def test_the_page_has_the_seeds_of_a_figure_in_one_cell():
    row = {"num_blocks": 2, "seed": None, "epochs": None}
    rows = [{**row, "figure": "std", "value": 0.0123}, {**row, "figure": "short_seconds", "value": 12.3, "epochs": 1.0}]
    rows += [{**row, "figure": "short", "value": value, "seed": seed, "epochs": 1.0} for seed, value in enumerate((0.5, -0.25))]
    rows += [{**row, "figure": "std", "value": 0.02, "num_blocks": 3}]
    assert rankings.page_tables(rows) == (
        "| all seeds | deviation, points |\n| --- | --- |\n| K = 2 | 1.23 |\n| K = 3 | 2.00 |\n\n"
        "| shorter trainings | K = 2 |\n| --- | --- |\n"
        "| epochs: 1; seconds, with a whole training | 12 |\n| epochs: 1; rho, each seed | 0.50, -0.25 |\n"
    )
