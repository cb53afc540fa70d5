"""The rows of exits and curves: what adaptive inference really does, calibrated or not, and written once."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods.table import METHODS
from nas.data.images.images import Images
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.measurements.exits import Exits
from nas.exits.adaptive import adaptive
from nas.exits.answers import exit_costs
from nas.exits.calibration import expected_calibration_error
from nas.exits.confidence import CONFIDENCES
from nas.problem import Problem
from nas.records.results_log import ResultsLog
from nas.runs.trained_run import TrainedRun
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, curve_rows, exit_rows, make, make_problem, split


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


def evaluator(problem: Problem, calibrated: bool = False) -> Evaluator:
    return make(problem, measurements=[Exits.of(problem.results, calibrated=calibrated)])


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("method", ["dgl", "al", "contsup"])
def test_a_curve_says_what_adaptive_inference_does(problem: Problem, method: str, calibrated: bool) -> None:
    problem = replace(problem, method=str(METHODS.resolve(method)))
    made = evaluator(problem, calibrated)
    made.run(POINT)
    exits, rows = exit_rows(made), curve_rows(made)
    temperatures = [float(row["temperature"]) for row in exits] if calibrated else None
    training, point = made.training, problem.adapt(POINT)
    trained = training.train(point, problem.runs / "again", training.cost(point))[0].method.eval()
    costs = exit_costs(lambda: problem.build(problem.adapt(POINT)), problem.data.input_shape)
    macs = torch.tensor([float(cost.path_macs) for cost in costs])
    assert {row["rule"] for row in rows} == set(CONFIDENCES)
    for row in rows:
        for name, part in (("validation", problem.data.validation), ("test", problem.data.test())):
            ((x, y),) = problem.data.eval_batches(part, 1000)
            answers = adaptive(trained, x, CONFIDENCES[row["rule"]], float(row["threshold"]), temperatures=temperatures)
            at_threshold = 0 if name == "test" else 1  # which is a validation sample's own confidence: rounding may decide
            wrong = int((answers.logits.argmax(1) != y).sum())
            assert abs(round(float(row[f"{name}_error"]) * len(y)) - wrong) <= at_threshold
            if name == "test":
                assert float(row["test_macs"]) == pytest.approx(macs[answers.depths - 1].mean().item())
                shares = torch.bincount(answers.depths - 1, minlength=3) / len(y)
                assert list(map(float, row["test_shares"].split())) == pytest.approx(shares.tolist(), abs=1e-4)
        assert float(row["test_seconds"]) > 0 and row["timed_samples"] == "45" and row["num_blocks"] == "3"
    assert [sum(row["chosen"] == "True" for row in rows if row["rule"] == rule) for rule in CONFIDENCES] == [1] * 5


def test_temperatures_change_confidences_and_no_error(problem: Problem) -> None:
    plain, calibrated = (evaluator(problem, wanted) for wanted in (False, True))
    for made in (plain, calibrated):
        made.run(POINT)
    before, after = exit_rows(plain), exit_rows(calibrated)
    assert len(before) == len(after) == 3
    for one, other in zip(before, after, strict=True):
        assert one["calibrated"] == one["temperature"] == "" and other["calibrated"] == "True"
        for name in ("validation_error", "validation_loss", "test_error", "test_loss"):
            assert one[name] == other[name]
        assert one["test_ece"] != other["test_ece"] and float(other["temperature"]) != 1
    trained = plain.training.train(POINT, problem.runs / "again", plain.training.cost(POINT))[0].method.eval()
    ((x, y),) = problem.data.eval_batches(problem.data.test(), 1000)
    with torch.no_grad():
        for logits, one, other in zip(trained.exits(x), before, after, strict=True):
            assert float(one["test_ece"]) == pytest.approx(expected_calibration_error(logits, y), abs=1e-6)
            cooled = logits / float(other["temperature"])
            assert float(other["test_ece"]) == pytest.approx(expected_calibration_error(cooled, y), abs=1e-6)


def test_a_saved_run_has_its_temperatures(problem: Problem) -> None:
    made = make(problem, measurements=[Exits.of(problem.results, calibrated=True)], weights="required")
    made.run(POINT)
    saved, rows = TrainedRun.load(made.run_folder(POINT)).exits, exit_rows(made)
    assert [exit.fitted_temperature for exit in saved] == pytest.approx([float(row["temperature"]) for row in rows])
    assert [(exit.depth, exit.path_macs) for exit in saved] == [(int(row["depth"]), int(row["path_macs"])) for row in rows]


def test_another_test_split_moves_no_threshold(problem: Problem) -> None:
    found = []
    for seed in (2, 3):
        data = problem.data
        assert isinstance(data, Images)
        own = make_problem(problem.runs / str(seed), data=replace(data, read_test=lambda seed=seed: split(45, seed)))
        made = evaluator(own, calibrated=True)
        made.run(POINT)
        rows = curve_rows(made)
        decided = ("rule", "threshold", "validation_error", "validation_macs", "chosen")
        found.append([[row[name] for name in decided] for row in rows])
        found[-1] += [[row["temperature"]] for row in exit_rows(made)]
    assert found[0] == found[1]


def test_what_was_written_before_a_stop_is_not_written_again(problem: Problem) -> None:
    made = evaluator(problem)
    made.run(POINT)
    rows = {name: (problem.results.folder / name).read_bytes() for name in ("exits.csv", "curves.csv")}
    (problem.results.folder / "rows.csv").unlink()
    (problem.results.folder / "curves.csv").unlink()  # as if killed between the two
    evaluator(problem).run(POINT)
    assert (problem.results.folder / "exits.csv").read_bytes() == rows["exits.csv"]
    assert len((problem.results.folder / "curves.csv").read_bytes().splitlines()) == len(rows["curves.csv"].splitlines())


def test_a_network_with_one_exit_has_no_curve(problem: Problem) -> None:
    made = evaluator(replace(problem, method="backprop(label_smoothing=0.1)"))
    made.run(POINT)
    assert len(exit_rows(made)) == 1 and curve_rows(made) == []


@pytest.mark.slow
def test_exits_of_which_lines_were_deleted_are_completed(problem: Problem) -> None:
    evaluator(problem)(POINT)
    paths = [problem.results.folder / name for name in ("exits.csv", "curves.csv")]
    whole = [
        sorted(row[column] for row in ResultsLog(path).rows()) for path, column in zip(paths, ("depth", "rule"), strict=True)
    ]
    header, first, second, last = paths[0].read_text().splitlines()
    curve = paths[1].read_text().splitlines()
    for left, points in (
        ([header, first, last], curve),
        ([header, second, last], curve[:5] + curve[6:]),
        ([header], curve),
        ([header, first, second, last], curve[:5] + curve[6:]),
    ):
        paths[0].write_text("\n".join(left) + "\n")
        paths[1].write_text("\n".join(points) + "\n")
        made = evaluator(problem)
        assert not made.is_done(POINT)
        made(POINT)
        assert sorted(row["depth"] for row in exit_rows(made)) == whole[0] == ["1", "2", "3"]
        assert sorted(row["rule"] for row in curve_rows(made)) == whole[1]


@pytest.mark.parametrize(
    ("depth", "says"), [("0", "1..num_blocks"), ("4", "1..num_blocks"), ("2", "line 3 is of the same run and depth 2")]
)
def test_exits_that_contradict_each_other_are_told_before_training(problem: Problem, depth: str, says: str) -> None:
    evaluator(problem)(POINT)
    path = problem.results.folder / "exits.csv"
    header, *lines = path.read_text().splitlines()
    place = header.split(",").index("depth") - len(header.split(","))
    cells = lines[-1].rsplit(",", -place)
    lines[-1] = ",".join([cells[0], depth, *cells[2:]])
    path.write_text("\n".join([header, *lines]) + "\n")
    with pytest.raises(UserError, match=f"line 4: .*{re.escape(says)}"):
        evaluator(problem)
