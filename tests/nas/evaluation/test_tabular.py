"""The tabular evaluator: it answers as the training behind the table did, or says why it cannot."""

import math
from dataclasses import replace
from statistics import fmean

import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluation.comparison import Comparison
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.evaluators import EVALUATORS
from nas.evaluation.tabular import Tabular
from nas.evaluations import Evaluations, when_told
from nas.problem import Problem, silent
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError


def split(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randint(256, (size, 4, 4, 1), generator=generator, dtype=torch.uint8), torch.arange(size) % 3)


def make_problem(folder, seed=0):
    images = Images(split(40, 0), split(20, 1), lambda: split(20, 2), 3, (0.5,), (0.3,))
    space = read_space("small(width=0.25,heads=[linear],num_blocks=2)", (1, 4, 4), 3)
    return Problem(
        space,
        "dgl(label_smoothing=0.1)",
        "toy",
        images,
        TrainingSettings(iterations=6, batch_size=10),
        seed,
        torch.device("cpu"),
        Results(folder),
        folder / "runs",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A table of every point with seeds 0 and 1, really trained."""
    folder = tmp_path_factory.mktemp("trained")
    problem, log = make_problem(folder), ResultsLog(folder / "table.csv")
    points = [str(point) for point in problem.space.enumerate()]
    Comparison(
        problem,
        ["dgl"],
        points,
        range(2),
        log=log,
        tuning_log=log,
        rates=[0.1],
        schedules=["cosine"],
        report=silent,
        command="here",
    ).run()
    return log.path


@pytest.fixture
def rewritten(trained, tmp_path):
    """rewritten(change): the table with each row as `change` makes it; a row for which that is None is left out."""

    def written(change):
        rows = [change(dict(row)) for row in ResultsLog(trained).rows()]
        path = tmp_path / "table.csv"
        ResultsLog(path).append_all([row for row in rows if row])
        return path

    return written


def values(score):
    """A Score that equals itself also where its loss is nan."""
    return tuple(str(value) for value in vars(score).values())


@pytest.mark.parametrize(("seed", "of"), [(0, 0), (1, 1), (2, 0), (7, 1)])
def test_a_search_sees_what_training_with_one_seed_of_the_table_would_say(trained, tmp_path, seed, of):
    tabular = Tabular(make_problem(tmp_path, seed), trained)
    training = Evaluator(make_problem(tmp_path, of), ResultsLog(tmp_path / "search.csv"), silent, command="", test=False)
    for point in tabular.problem.space.enumerate():
        got, wanted = tabular(point), training(point)
        assert (got.error, got.loss, got.status) == (wanted.error, wanted.loss, wanted.status)


def test_the_mean_over_seeds(trained, tmp_path):
    tabular = Tabular(make_problem(tmp_path), trained, seeds="mean")
    for point in tabular.problem.space.enumerate():
        rows = [row for row in ResultsLog(trained).rows() if row["decoupling"] == str(point)]
        assert len(rows) == 2
        assert tabular(point).error == pytest.approx(fmean(float(row["validation_error"]) for row in rows))
        assert tabular(point).loss == pytest.approx(fmean(float(row["validation_loss"]) for row in rows))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_partial_training_is_that_which_stopped_there(trained, tmp_path, seed):
    """An epoch has four iterations; what comes between is read from the epoch before."""
    tabular = Tabular(make_problem(tmp_path, seed), trained)
    training = Evaluator(make_problem(tmp_path, seed), ResultsLog(tmp_path / "search.csv"), silent, command="", test=False)
    point = Decoupling.parse("3:linear")
    stopped = training(point, 4 / 6)
    for fidelity in (4 / 6, 5 / 6):
        got = tabular(point, fidelity)
        assert (got.error, got.loss, got.status) == (stopped.error, stopped.loss, "ok")
    row = tabular.recorded(point, 5 / 6)
    assert row["iterations_trained"] == "5" and not [name for name in row if "test" in name]
    assert tabular.recorded(point) == tabular.recorded(point, 1.0) and "iterations_trained" not in tabular.recorded(point)


def test_the_mean_of_partial_trainings(trained, tmp_path):
    point = Decoupling.parse("3:linear")
    of_seeds = [Tabular(make_problem(tmp_path, seed), trained)(point, 4 / 6).error for seed in (0, 1)]
    assert Tabular(make_problem(tmp_path), trained, seeds="mean")(point, 4 / 6).error == pytest.approx(fmean(of_seeds))


def test_a_partial_training_before_the_first_epoch_or_without_a_history_is_refused(trained, rewritten, tmp_path):
    point = Decoupling.parse("3:linear")
    with pytest.raises(UserError, match="has none up to iteration 3; give a larger fidelity"):
        Tabular(make_problem(tmp_path), trained)(point, 0.5)
    with pytest.raises(UserError, match="history.csv, but of '3:linear' it has none"):
        Tabular(make_problem(tmp_path), rewritten(lambda row: row))(point, 4 / 6)


def test_runs_that_diverged(rewritten, tmp_path):
    def diverged(row):
        lost = {"status": "diverged: at 3", "validation_error": "1.0", "validation_loss": "", "test_error": ""}
        return row | lost if (row["seed"], row["decoupling"]) == ("1", "3:linear") else row

    path, point = rewritten(diverged), Decoupling.parse("3:linear")
    ok, bad = (Tabular(make_problem(tmp_path, seed), path)(point) for seed in (0, 1))
    mean = Tabular(make_problem(tmp_path), path, seeds="mean")(point)
    assert ok.status == "ok" and mean.status == bad.status == "diverged: at 3"
    assert bad.error == 1 and mean.error == pytest.approx((ok.error + 1) / 2)
    assert math.isnan(bad.loss) and math.isnan(mean.loss)


@pytest.mark.parametrize(
    ("change", "made", "came"),
    [
        ({"settings": TrainingSettings(iterations=600, batch_size=10)}, "iterations=6,", "got iterations=600;"),
        (
            {"settings": TrainingSettings(iterations=7, batch_size=10, lr=0.2)},
            "iterations=6, lr=0.1,",
            "got iterations=7, lr=0.2;",
        ),
        ({"method": "predsim"}, "method=dgl(label_smoothing=0.1),", "got method=predsim;"),
        ({"task": "toy(validation=0.4)"}, "task=toy,", "got task=toy(validation=0.4);"),
        (
            {"space": read_space("small(width=0.5,heads=[linear],num_blocks=2)", (1, 4, 4), 3)},
            "backbone=small(width=0.25),",
            "got backbone=small(width=0.5)",
        ),
    ],
)
def test_another_setting_than_the_table_s_is_named(trained, tmp_path, change, made, came):
    with pytest.raises(UserError) as refused:
        Tabular(replace(make_problem(tmp_path), **change), trained)
    assert made in str(refused.value) and came in str(refused.value)
    assert "seed" not in str(refused.value).partition("made with")[2]


def test_of_a_table_with_several_settings_the_rows_that_agree_count(rewritten, trained, tmp_path):
    path = rewritten(lambda row: row | {"iterations": "600", "validation_error": "0.25"})
    other = ResultsLog(trained).rows()
    ResultsLog(path).append_all(other)
    short = make_problem(tmp_path)
    long = replace(short, settings=TrainingSettings(iterations=600, batch_size=10))
    assert Tabular(short, path).rows == other and len(Tabular(long, path).rows) == len(other)
    assert {Tabular(long, path)(point).error for point in long.space.enumerate()} == {0.25}


def test_a_decoupling_that_the_table_lacks(rewritten, trained, tmp_path):
    problem = make_problem(tmp_path)
    path = rewritten(lambda row: None if (row["decoupling"], row["seed"]) == ("3:linear", "1") else row)
    for seed, seeds, text, size in [(0, "one", "1:linear 2:linear", 5), (1, "one", "3:linear", 4), (0, "mean", "uncut", 5)]:
        tabular, point = Tabular(replace(problem, seed=seed), path, seeds=seeds), Decoupling.parse(text)
        assert tabular.recorded(point) is None
        with pytest.raises(UserError, match=f"{size} points, but '{text}' is none"):
            tabular(point)
    assert Tabular(replace(problem, seed=1), path, seeds="mean")(Decoupling.parse("3:linear"))


@pytest.mark.parametrize("content", [None, "", "method,seed\n"])
def test_a_table_without_rows(tmp_path, content):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match="has none"):
        Tabular(make_problem(tmp_path), path)


@pytest.mark.parametrize("seeds", ["one", "mean"])
def test_the_test_split_stays_unseen_and_the_table_as_it_is(trained, tmp_path, seeds):
    before, beside = trained.read_bytes(), set(trained.parent.iterdir())
    tabular = Tabular(make_problem(tmp_path), trained, seeds=seeds)
    for point in tabular.problem.space.enumerate():
        tabular(point)
        assert not [name for name in tabular.recorded(point) if "test" in name]
    assert {"test_error", "test_loss"} <= set(tabular.rows[0])
    assert trained.read_bytes() == before and set(trained.parent.iterdir()) == beside


def test_a_search_finds_the_best_of_the_seed_it_sees_and_of_the_mean(rewritten, tmp_path):
    low = {("0", "2:linear"): "0.1", ("1", "5:linear"): "0.02"}
    path = rewritten(lambda row: row | {"validation_error": low.get((row["seed"], row["decoupling"]), "0.6")})
    for seed, seeds, best in [(0, "one", "2:linear"), (1, "one", "5:linear"), (0, "mean", "5:linear")]:
        problem = make_problem(tmp_path, seed)
        found = STRATEGIES.build("exhaustive").search(
            problem, Evaluations(when_told(Tabular(problem, path, seeds=seeds))), silent
        )
        assert str(found.decoupling) == best


# ---- the contract of every entry


@pytest.mark.parametrize("name", EVALUATORS)
def test_an_evaluator_shows_the_row_behind_its_score(name, trained, tmp_path):
    problem, point = make_problem(tmp_path), Decoupling.parse("3:linear")
    training = Evaluator(problem, ResultsLog(tmp_path / "search.csv"), silent, command="", test=False)
    spec = f"{name}(path={str(trained)!r})" if "path" in EVALUATORS.parameters(name) else name
    evaluator = EVALUATORS.build(spec, training)
    answer, row = evaluator(point), evaluator.recorded(point)
    assert row is not None and row["decoupling"] == str(point)
    assert (answer.error, answer.status) == (float(row["validation_error"]), row["status"])
    assert evaluator.log.path.is_file() and any(row.items() <= there.items() for there in evaluator.log.rows())
    assert values(evaluator(point)) == values(answer)
