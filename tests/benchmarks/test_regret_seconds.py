"""Regret against seconds on a toy table, against sums by hand."""

import math
import random
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks import regret_seconds
from benchmarks.regret_parts import rows, simulated, trainings
from benchmarks.regret_parts import truth as truths
from benchmarks.regret_parts.targets import targets
from benchmarks.sedona_truth import COMMON
from methods.table import METHODS
from nas.cli.config import parse
from nas.commands.problem import read_problem
from nas.cost import cost
from nas.evaluation.by_fidelity import ByFidelity
from nas.evaluation.tabular import Tabular
from nas.evaluations import Evaluations, when_told
from nas.problem import silent
from nas.records.columns import COUNTS
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES
from nas.strategies.supernet.strategy import Supernet
from spaces.decoupling import Decoupling

PATH = Path("toy.csv")
SPACE = "small(width=0.25,num_blocks=[1,3],heads=[linear])"


@pytest.fixture
def truth(tmp_path, monkeypatch):
    """A table that was drawn, in which a training of K blocks takes about 20 K seconds: whole trainings, what they had come to
    after a quarter of the iterations, and trainings of so many with a schedule of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(truths, "seconds_of_trainings", lambda problem, points: [20.0 * point.num_blocks for point in points])
    monkeypatch.setattr(regret_seconds, "SLOW_SEEDS", 0)
    options = {"space": SPACE, "task": "digits", "iterations": 20, "batch_size": 32}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(options))
    settings = parse(["search", "--config", "toy.yaml"]).options
    problem, rng = read_problem(settings, settings.method, 0, settings.lr, settings.schedule), random.Random(0)
    drawn = [
        {
            **replace(one, seed=seed).key(point),
            "status": "ok",
            "validation_error": rng.random(),
            "validation_loss": 1.0,
            "test_error": rng.random(),
            "pipeline_speedup_bound": 1.0,
            "run": f"{one.settings.iterations} {point} {seed}",
            "weights_digest": "0" * 16,
            **dict.fromkeys(COUNTS, 1000),
            "num_blocks": point.num_blocks,
        }
        for one in (problem, problem.shortened(0.25))
        for seed in (0, 1)
        for point in problem.space.enumerate()
    ]
    ResultsLog(tmp_path / "toy.csv").append_all(drawn)
    epoch = {"training": 1, "iteration": 5, "epoch": 0.25, "scheduled_lr": 0.1, "validation_loss": 1.0, "stage_losses": "1.0"}
    whole = [row for row in drawn if row["iterations"] == 20]
    named = [{name: row[name] for name in ("run", "method", "decoupling", "task", "seed")} for row in whole]
    ResultsLog(tmp_path / "history.csv").append_all([{**row, **epoch, "validation_error": rng.random()} for row in named])
    return truths.Truth(tmp_path / "toy.csv", problem)


def run(monkeypatch, *argv):
    given = ["--table", "toy.csv", "--out", "out/seconds.csv", "--trials", "4", "--seeds", "2", *argv]
    monkeypatch.setattr(sys, "argv", ["benchmarks/regret_seconds.py", *given])
    regret_seconds.main()
    return pd.read_csv("out/seconds.csv")


def asked_by(spec, truth):
    """What the strategy asks for, with the share of the iterations of each."""
    strategy, asked = STRATEGIES.build(spec), []
    scores = ByFidelity(
        lambda problem: Tabular(problem, PATH), truth.problem, own_schedules=getattr(strategy, "own_schedules", False)
    )
    score = when_told(lambda point, share=1.0: asked.append((point, share)) or scores(point, share))
    strategy.search(truth.problem, Evaluations(score), silent)
    return asked


@pytest.fixture
def no_thinking(monkeypatch):
    monkeypatch.setattr(trainings.time, "process_time", lambda: 0.0)


def test_trainings_take_what_their_rows_say_and_the_answer_is_the_best_seen(truth, no_thinking):
    answers = simulated.simulated(truth, "random(trials=5)", truth.problem)
    asked = [point for point, _ in asked_by("random(trials=5)", truth)]
    errors = errors_of(truth)
    for n, answer in enumerate(answers, start=1):
        assert answer.seconds == pytest.approx(sum(20.0 * point.num_blocks for point in asked[:n]), rel=0.02)
        assert answer.decoupling == str(min(asked[:n], key=errors.__getitem__))
        assert answer.found == any(str(point) in truth.top for point in asked[:n])


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("schedules", ["", ",schedules=own"])
def test_what_goes_on_takes_the_rest_and_with_its_own_schedule_the_whole(truth, no_thinking, together, schedules):
    spec = f"hyperband(trials=2,eta=4,min_fidelity=0.25,brackets=1{schedules})"
    *first, (last, _) = asked_by(spec, truth)
    assert [share for _, share in first] == [0.25] * 4
    (answer,) = simulated.simulated(truth, spec, truth.problem, together=together)
    points, share = [point for point, _ in first], 1 if schedules else 0.75
    rung = truth.together(points) if together else sum(truth.seconds[str(point)] for point in points)
    assert answer.decoupling == str(last)
    assert answer.seconds == pytest.approx(0.25 * rung + share * truth.seconds[str(last)])
    assert answer.trainings == pytest.approx(4 * 0.25 + share)


@pytest.mark.parametrize("own_schedules", [False, True])
def test_what_is_asked_for_again_takes_nothing_and_a_score_is_of_its_schedule(truth, no_thinking, own_schedules):
    point, told = truth.points[0], []

    class Again:
        def search(self, problem, evaluate, report):
            told.extend(evaluate(point, share).error for share in (0.25, 0.25, 1.0, 1.0))

    again = Again()
    again.own_schedules = own_schedules
    answers = trainings.trainings_of(again, truth, truth.problem).answers
    whole = 1.25 if own_schedules else 1.0
    assert [answer.trainings for answer in answers] == [whole] * 2
    assert [answer.seconds for answer in answers] == pytest.approx([whole * truth.seconds[str(point)]] * 2)
    errors = {file: pd.read_csv(file).set_index("run")["validation_error"] for file in ("toy.csv", "history.csv")}
    short = errors["toy.csv"][f"5 {point} 0"] if own_schedules else errors["history.csv"][f"20 {point} 0"]
    assert told == [short, short, *[errors["toy.csv"][f"20 {point} 0"]] * 2]


def test_random_searches_of_rising_sizes_train_all_that_they_draw_in_one_go(truth, no_thinking):
    asked = [point for point, _ in asked_by("random(trials=6)", truth)]
    errors = errors_of(truth)
    answers = simulated.random_together(truth, 6, truth.problem)
    assert [answer.trainings for answer in answers] == [1, 2, 4, 6]
    for number, answer in zip((1, 2, 4, 6), answers, strict=True):
        assert answer.seconds == pytest.approx(truth.together(asked[:number]))
        assert answer.decoupling == str(min(asked[:number], key=errors.__getitem__))


def errors_of(truth):
    """What one training of each decoupling says, in the order of the space."""
    tabular = Tabular(truth.problem, PATH)
    return {point: tabular(point).error for point in truth.points}


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


def test_the_target_is_the_median_over_seeds_and_infinite_where_half_do_not_come_there():
    lines = [("random", seed, 10.0 * (seed + 1), 0.0, True) for seed in range(3)]
    lines += [("surrogate", seed, 5.0, 0.0 if seed == 0 else 0.3, seed == 0) for seed in range(3)]
    lines += [("surrogate", 0, 60.0, 0.0, True), ("late", 0, 51.0, 0.0, True), ("late", 1, 30.0, 0.1, False)]
    made = pd.DataFrame(
        [
            {
                "strategy": strategy, "seed": seed, "seconds": seconds, "regret": lost, "rho": math.nan,
                "is_top": str(top), "found_top": str(top), "trainings": seed + 1,
            }
            for strategy, seed, seconds, lost, top in lines
        ]
    )  # fmt: skip
    found = targets(made).set_index("strategy")
    assert found.loc["random", "answer_in_top_seconds"] == 20 and found.loc["random", "answer_in_top_of_random"] == 1
    assert math.isinf(found.loc["surrogate", "answer_in_top_seconds"])
    assert found.loc["surrogate", "answer_in_top_share"] == pytest.approx(1 / 3)
    assert found.loc["surrogate", "regret"] == pytest.approx(0.2)
    assert (found["seconds_of_2.5_trainings"] == 25).all() and (found["seconds_of_6_trainings"] == 60).all()
    assert found.loc["surrogate", "regret_after_2.5_trainings"] == pytest.approx(0.2)
    assert math.isnan(found.loc["random", "regret_after_2.5_trainings"]), "the search with seed 2 has no answer yet"
    assert found.loc["random", "regret_after_6_trainings"] == 0
    assert math.isnan(found.loc["late", "regret_after_2.5_trainings"]) and found.loc["late", "regret_after_6_trainings"] == 0.05


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
    ResultsLog(Path("out/sedona_truth.csv")).append_all([row, *others])
    found = rows.answers_of_sedona(Path("out/sedona_truth.csv"), truth, None)
    assert found[["strategy", "seconds", "regret", "is_top"]].values.tolist() == [["sedona adjoint, 40 s", 80.0, 0.0, "True"]]
    run(monkeypatch)
    targets = pd.read_csv("regret_targets/toy_kany.csv")
    assert (targets["strategy"] == "sedona adjoint, 40 s").any()


@pytest.mark.slow
def test_what_trains_itself_is_measured_too(truth, monkeypatch):
    tiny = {"supernet": Supernet(iterations=2, tune=1, snapshots=1, candidates=3, outer_batch=32)}
    monkeypatch.setattr(regret_seconds, "SUPERNETS", tiny)
    settings = replace(COMMON, pretrain=2, memory=2, inner_steps=1, outer_batch=16)
    monkeypatch.setattr(regret_seconds, "SEDONA", {"sedona": settings})
    frame = run(monkeypatch, "--supernets", "1", "--sedonas", "1", "--sedona-seconds", "0.01")
    for name in ("supernet", "sedona"):
        rows = frame[frame["strategy"] == name]
        assert (rows["seconds"] > 20).all() and rows["rho"].between(-1, 1).all()
