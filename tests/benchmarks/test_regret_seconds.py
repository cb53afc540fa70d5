"""Regret against seconds on a toy table, against sums by hand."""

import math
import random
import sys
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from benchmarks import regret_seconds
from methods.table import METHODS
from nas.cli.config import parse
from nas.commands.problem import read_problem
from nas.cost import cost
from nas.records.columns import COUNTS
from nas.records.results_log import ResultsLog
from spaces.decoupling import Decoupling

SPACE = "small(width=0.25,num_blocks=[1,3],heads=[linear])"


@pytest.fixture
def truth(tmp_path, monkeypatch):
    """A table that was drawn, in which a training of K blocks takes about 20 K seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(regret_seconds, "seconds_of_a_training", lambda problem, point: 20.0 * point.num_blocks)
    monkeypatch.setattr(regret_seconds, "SLOW_SEEDS", 0)
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
    return regret_seconds.Truth(tmp_path / "toy.csv", problem)


def run(monkeypatch, *argv):
    given = ["--table", "toy.csv", "--out", "out/seconds.csv", "--trials", "4", "--seeds", "2", *argv]
    monkeypatch.setattr(sys, "argv", ["benchmarks/regret_seconds.py", *given])
    regret_seconds.main()
    return pd.read_csv("out/seconds.csv")


def test_trainings_take_what_their_rows_say_and_the_answer_is_the_best_seen(truth, monkeypatch):
    monkeypatch.setattr(regret_seconds.time, "process_time", lambda: 0.0)
    answers = regret_seconds.simulated(truth, "random(trials=5)", truth.problem)
    asked = []
    regret_seconds.STRATEGIES.build("random(trials=5)").search(
        truth.problem,
        regret_seconds.Evaluations(regret_seconds.when_told(lambda point: asked.append(point) or table(point))),
        regret_seconds.silent,
    )
    for n, answer in enumerate(answers, start=1):
        assert answer.seconds == pytest.approx(sum(20.0 * point.num_blocks for point in asked[:n]), rel=0.02)
        assert answer.decoupling == str(min(asked[:n], key=lambda point: table(point).error))
        assert answer.found == any(str(point) in truth.top for point in asked[:n])


def test_rungs_are_trained_in_one_go_and_what_goes_on_pays_only_the_rest(truth, monkeypatch):
    monkeypatch.setattr(regret_seconds.time, "process_time", lambda: 0.0)
    tabular = regret_seconds.Tabular(truth.problem, path())
    answered = lambda point, fidelity=1.0: tabular(point)  # noqa: E731  # the table has no epochs
    monkeypatch.setattr(regret_seconds, "Tabular", lambda problem, path: answered)
    spec, asked = "hyperband(trials=2,eta=4,min_fidelity=0.25,brackets=1)", []
    regret_seconds.STRATEGIES.build(spec).search(
        truth.problem,
        regret_seconds.Evaluations(regret_seconds.when_told(lambda *one: asked.append(one) or answered(*one))),
        regret_seconds.silent,
    )
    first, last = [point for point, *share in asked if share], [point for point, *share in asked if not share]
    assert len(first) == 4 and len(last) == 1
    (answer,) = regret_seconds.simulated_rungs(truth, spec, truth.problem)
    assert answer.decoupling == str(last[0])
    assert answer.seconds == pytest.approx(0.25 * truth.together(first) + 0.75 * truth.seconds[str(last[0])])
    assert answer.trainings == pytest.approx(3 * 0.25 + 1)


def test_what_short_trainings_rank_first_is_trained_first(truth, monkeypatch):
    """With itself as the table of a quarter of the iterations."""
    answers = regret_seconds.short_first(truth, truth, 0.25, truth.problem)
    order = sorted(truth.points, key=lambda point: table(point).error)
    whole = 0.25 * truth.together(truth.points)
    for n, answer in enumerate(answers, start=1):
        assert answer.decoupling == str(order[0]) and answer.trainings == n
        assert answer.seconds == pytest.approx(whole + sum(truth.seconds[str(point)] for point in order[:n]))
    assert len(answers) == len(order) and answers[0].rho == truth.within({str(point): table(point).error for point in order})


def table(point):
    return regret_seconds.Tabular(replace(regret_seconds.table_problem(path(), None), seed=0), path())(point)


def path():
    return regret_seconds.Path("toy.csv")


def test_what_trains_together_counts_a_stage_that_several_begin_with_once(truth):
    """Decouplings that begin with a cut at 2: the first of three blocks is shared, the rest is each one's own."""
    space = truth.problem.space
    first, second = (Decoupling((2, last), space.heads * 2) for last in (4, 5))
    other = Decoupling((2,), space.heads)  # its last block is another than those that go on to a cut

    def share(point, k):
        blocks = cost(lambda: METHODS.build("dgl", space.build(point)), space.input_shape, 10, 2).blocks
        macs = [block.macs + block.head_macs for block in blocks]
        return macs[k] / sum(macs)

    alone = truth.together([first])
    assert alone == pytest.approx(20 * 3, rel=0.02) and truth.together([first, first]) == alone
    assert truth.together([first, second]) == pytest.approx(20 * 3 * (2 - share(first, 0)), rel=0.02)
    assert truth.together([first, other]) < 20 * 3 + 20 * 2


def test_the_target_is_the_median_over_seeds_and_infinite_where_half_do_not_come_there(truth, monkeypatch):
    lines = [("random", seed, 10.0 * (seed + 1), 0.0, True) for seed in range(3)]
    lines += [("surrogate", seed, 5.0, 0.0 if seed == 0 else 0.3, seed == 0) for seed in range(3)]
    made = pd.DataFrame(
        [
            {
                "strategy": strategy, "seed": seed, "seconds": seconds, "regret": lost, "rho": math.nan,
                "is_top": str(top), "found_top": str(top),
            }
            for strategy, seed, seconds, lost, top in lines
        ]
    )  # fmt: skip
    found = regret_seconds.target(made, truth).set_index("strategy")
    assert found.loc["random", "answer_in_top_seconds"] == 20 and found.loc["random", "answer_in_top_of_random"] == 1
    assert math.isinf(found.loc["surrogate", "answer_in_top_seconds"])
    assert found.loc["surrogate", "answer_in_top_share"] == pytest.approx(1 / 3)
    assert found.loc["surrogate", "regret"] == pytest.approx(0.2)


def test_rows_say_where_the_answer_changes_and_it_goes_on(truth, monkeypatch):
    first = run(monkeypatch)
    assert set(first["strategy"]) == {
        "random", "optuna tpe", "optuna cmaes", "optuna nsga2", "surrogate", "random, together", "every decoupling, together",
    }  # fmt: skip
    for _, group in first.groupby(["strategy", "seed"]):
        assert group["seconds"].is_monotonic_increasing
        assert (group["regret"] >= 0).all() and group["trainings"].max() in (4, 16)
    assert first[first["strategy"] == "surrogate"]["rho"].notna().any()
    pd.testing.assert_frame_equal(run(monkeypatch), first)
    targets = pd.read_csv("regret_targets/toy_kany.csv")
    assert (targets["answer_in_top_share"] <= targets["trained_top_share"]).all()


def test_answers_of_sedona_on_a_table_of_as_many_rows_stand_beside_them(truth, monkeypatch):
    run(monkeypatch)
    best = truth.regret.idxmin()
    row = {"engine": "adjoint", "seed": 0, "budget_seconds": 40.0, "table_rows": len(truth.all_rows), "seconds": 50.0}
    row |= {"training_seconds": 10.0, "equivalent_trainings": 6.0, "equivalent_trainings_any": 8.0, "num_blocks": 2}
    row |= {"decoupling": best, "recommended": True, "rho": 0.5, "rho_num_blocks": 0.8}
    others = [{**row, "recommended": False}, {**row, "table_rows": 1}]
    ResultsLog(regret_seconds.Path("out/sedona_truth.csv")).append_all([row, *others])
    found = regret_seconds.measured_before(regret_seconds.Path("out/sedona_truth.csv"), truth, None)
    assert found[["strategy", "seconds", "regret", "is_top"]].values.tolist() == [["sedona adjoint, 40 s", 80.0, 0.0, "True"]]
    run(monkeypatch)
    targets = pd.read_csv("regret_targets/toy_kany.csv")
    assert (targets["strategy"] == "sedona adjoint, 40 s").any()


@pytest.mark.slow
def test_what_trains_itself_is_measured_too(truth, monkeypatch):
    tiny = {"supernet": regret_seconds.Supernet(iterations=2, tune=1, snapshots=1, candidates=3, outer_batch=32)}
    monkeypatch.setattr(regret_seconds, "SUPERNETS", tiny)
    settings = replace(regret_seconds.COMMON, pretrain=2, memory=2, inner_steps=1, outer_batch=16)
    monkeypatch.setattr(regret_seconds, "SEDONA", {"sedona": settings})
    frame = run(monkeypatch, "--supernets", "1", "--sedonas", "1", "--sedona-seconds", "0.01")
    for name in ("supernet", "sedona"):
        rows = frame[frame["strategy"] == name]
        assert (rows["seconds"] > 20).all() and rows["rho"].between(-1, 1).all()
