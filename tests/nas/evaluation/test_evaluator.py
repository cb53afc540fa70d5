"""An evaluation is a row that says everything, made once; the scores are those of a count sample by sample."""

import os
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from methods.table import METHODS
from methods.training import loop as training
from methods.training.memory import WAY_OUT, out_of_memory
from methods.training.scoring import error_and_loss
from methods.training.settings import TrainingSettings
from nas.data.images.images import Batches, Images, eval_batches
from nas.data.images.samples import Split
from nas.evaluation import evaluator as evaluate
from nas.evaluation import run_training, saved_run
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.finish import Run, finish
from nas.evaluation.measurements.ensemble import Ensemble, ensemble_error
from nas.evaluation.measurements.exits import Exits
from nas.evaluations import Evaluations, when_told
from nas.problem import Problem, silent
from nas.records import results_log as results
from nas.records.provenance import device_name, provenance
from nas.records.results import Results
from nas.records.run_lock import RunLock
from nas.report.summary import summarise, summary_table
from nas.runs.trained_run import TrainedRun
from nas.strategies import STRATEGIES
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

POINT = Decoupling((2, 4), ("linear", "mlp_sr"))
OTHER = Decoupling((3,), ("linear",))


def split(size: int, seed: int) -> Split:
    """8x8 images of noise about a colour of the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) % 3
    colours = torch.tensor([[90, 120], [120, 90], [120, 120]])[labels][:, None, None]
    return Split((colours + 60 * torch.randn(size, 8, 8, 2, generator=generator)).clamp(0, 255).byte(), labels)


def never() -> Split:
    raise AssertionError("the test split was read")


def make_problem(folder: Path, **others: Any) -> Problem:
    images = Images(split(60, 0), split(30, 1), lambda: split(45, 2), 3, (0.4, 0.4), (0.2, 0.2))
    settings = TrainingSettings(iterations=8, batch_size=20, lr=0.05)
    space = read_space("small(width=0.25,heads=[linear,mlp_sr])", (2, 8, 8), 3)
    problem = Problem(
        space,
        "dgl(label_smoothing=0.1)",
        "toy",
        images,
        settings,
        0,
        torch.device("cpu"),
        Results(folder / "results"),
        folder / "runs",
    )
    return replace(problem, **others)


def make(problem: Problem, **others: Any) -> Evaluator:
    log = problem.results.log("rows.csv")
    settings: dict[str, Any] = {"report": silent, "command": "python run.py", "test": True}
    return Evaluator(problem, log, **settings | others)


def exit_rows(made: Evaluator) -> list[dict[str, str]]:
    """What is recorded of each exit."""
    return made.measured(made.measurements[-1], POINT)[0]


def curve_rows(made: Evaluator) -> list[dict[str, str]]:
    """What is recorded of each point of the curves."""
    return made.measured(made.measurements[-1], POINT)[1]


def ensemble(problem: Problem, size: int) -> Ensemble:
    return Ensemble.of(problem.results, problem.results.log("rows.csv"), size)


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[training.Trained]:
    """What was trained to its end since the test began."""
    finished: list[training.Trained] = []

    def counted(*given: Any, **named: Any) -> training.Trained:
        finished.append(training.train(*given, **named))
        return finished[-1]

    monkeypatch.setattr(run_training, "train", counted)
    return finished


def test_a_row_holds_every_setting_score_and_source(problem: Problem, trainings: list[training.Trained]) -> None:
    score = make(problem, labels={"strategy": "mine"})(POINT)
    (row,) = problem.results.log("rows.csv").rows()
    (trained,) = trainings
    settings = {name: "" if value is None else str(value) for name, value in asdict(problem.settings).items()}
    fixed = {
        "strategy": "mine",
        "method": problem.method,
        "decoupling": str(POINT),
        "task": "toy",
        "seed": "0",
        "num_blocks": "3",
        "backbone": str(problem.space.backbone),
        "space": str(problem.space.spec),
        "status": "ok",
        "command": "python run.py",
        "threads": "1",
        "device": device_name(problem.device),
        "epochs": repr(8 / 3),
    }
    assert row | settings | fixed == row
    assert set(provenance()) <= set(row) and row["python"] == provenance()["python"]
    for name in ("validation_error", "validation_loss", "train_loss", "best_iteration", "step_seconds"):
        assert float(row[name]) == getattr(trained, name)
    for name in ("params", "head_params", "macs", "head_macs", "peak_activation_bytes"):
        assert int(row[name]) > 0
    assert 1 <= float(row["pipeline_speedup_bound"]) <= 3
    assert (score.error, score.loss, score.status) == (trained.validation_error, trained.validation_loss, "ok")
    costs = {"peak_activation_bytes": score.peak_activation_bytes, "pipeline_speedup_bound": score.pipeline_speedup_bound}
    assert {name: float(row[name]) for name in costs} == costs


def test_the_test_error_is_that_of_each_image_alone(problem: Problem, trainings: list[training.Trained]) -> None:
    voted = ensemble(problem, 2)
    made = make(problem, measurements=[voted])
    row = made.run(POINT)
    method = trainings[0].method.eval()
    test = problem.data.test()
    wrong = voted_wrong = 0
    for x, y in eval_batches(problem.data, test, 1):
        with torch.no_grad():
            last = list(method.exits(x))[1:]
        wrong += int(last[-1].argmax() != y)
        voted_wrong += int(sum(F.log_softmax(logits.double(), 1) for logits in last).argmax() != y)  # type: ignore[union-attr]
    assert float(row["test_error"]) == pytest.approx(wrong / 45) and 0 < wrong < 45
    (((ensembled,),)) = made.measured(voted, POINT)
    assert float(ensembled["ensemble_test_error"]) == pytest.approx(voted_wrong / 45) and ensembled["ensemble"] == "2"


@pytest.mark.parametrize("num_exits", [1, 2, 3, 9])
def test_an_ensemble_multiplies_the_probabilities_of_the_last_exits(problem: Problem, num_exits: int) -> None:
    method = problem.build(POINT)
    data = list(eval_batches(problem.data, split(50, 7), 20))
    method.eval()
    wrong = 0
    with torch.no_grad():
        for x, y in data:
            probabilities = torch.ones(len(x), 3, dtype=torch.float64)
            for logits in list(method.exits(x))[-num_exits:]:
                probabilities *= logits.double().softmax(1)
            wrong += int((probabilities.argmax(1) != y).sum())
    assert ensemble_error(method, iter(data), num_exits, "fp32") == pytest.approx(wrong / 50)
    if num_exits == 1:
        assert error_and_loss(method, iter(data), "bf16")[0] == ensemble_error(method, iter(data), 1, "bf16")


def test_a_second_call_reads_the_row(problem: Problem, trainings: list[training.Trained]) -> None:
    first = make(problem)(POINT)
    assert make(problem)(POINT) == first and make(problem)(POINT) == first
    assert len(trainings) == 1 and len(make(problem).log.rows()) == 1
    assert not any(path.is_dir() for path in problem.runs.iterdir())


def test_a_saved_run_has_the_best_weights_and_a_diverged_one_none(problem: Problem, trainings: list[training.Trained]) -> None:
    row = make(problem, weights="required").run(POINT)
    run = TrainedRun.load(problem.runs / row["run"])
    method = run.build()
    x, _ = next(iter(eval_batches(problem.data, problem.data.validation, 30)))
    assert torch.equal(method(x), trainings[0].method.eval()(x)) and not method.training
    assert [exit.depth for exit in run.exits] == [1, 2, 3] and run.exits[-1].validation_error == float(row["validation_error"])
    assert run.exits[-1].macs == int(row["macs"]) and run.key == make(problem, weights="required").key(POINT)
    extra = [exit.path_macs - exit.macs for exit in run.exits]  # the answers on the way
    assert extra[0] == 0 < extra[1] < extra[2]
    wild = make(replace(problem, settings=replace(problem.settings, lr=1e18)), weights="required")
    assert wild(POINT).status != "ok" and wild(POINT).status != "ok" and len(trainings) == 1
    assert [path.name for path in problem.runs.iterdir() if path.is_dir()] == [row["run"]]


SETTINGS: dict[str, Any] = {
    "iterations": 9,
    "batch_size": 19,
    "lr": 0.06,
    "weight_decay": 0.0,
    "optimizer": "adam",
    "schedule": "multistep",
    "precision": "bf16",
    "checkpoint_units": True,
    "compile": "default",
    "class_batches": "classes(num=2)",
    "grow": "frozen",
    "deterministic": True,
    "replicas": 2,
}
REST: dict[str, Any] = {
    "seed": 1,
    "method": "dgl(label_smoothing=0.0)",
    "task": "another",
    "space": read_space("small(width=0.5)", (2, 8, 8), 3),
}


@pytest.mark.parametrize("name", [*SETTINGS, *REST])
def test_whatever_changes_the_training_makes_another_run(problem: Problem, name: str) -> None:
    others = {name: REST[name]} if name in REST else {"settings": replace(problem.settings, **{name: SETTINGS[name]})}
    evaluator, changed = make(problem), make(replace(problem, **others))
    assert evaluator.key(POINT) != changed.key(POINT)
    assert evaluator.run_folder(POINT) != changed.run_folder(POINT)
    assert evaluator.run_folder(POINT) == make(make_problem(problem.runs.parent)).run_folder(POINT)


def test_every_setting_tells_runs_apart() -> None:
    assert set(asdict(TrainingSettings())) == set(SETTINGS)


def test_what_a_method_cannot_use_is_not_trained_twice(problem: Problem, trainings: list[training.Trained]) -> None:
    evaluator = make(replace(problem, method="backprop(label_smoothing=0.1)"))
    assert evaluator(POINT) == evaluator(OTHER) == evaluator(Decoupling())
    assert len(trainings) == 1 and [row["decoupling"] for row in evaluator.log.rows()] == ["uncut"]


def test_a_diverged_run_is_a_row_and_the_next_goes_on(problem: Problem) -> None:
    diverging = make(replace(problem, settings=replace(problem.settings, lr=1e30, schedule="multistep")))
    score = diverging(POINT)
    assert score.error == 1.0 and score.status.startswith("diverged: the loss of stage ")
    assert score.peak_activation_bytes == make(problem)(POINT).peak_activation_bytes  # its network costs the same
    assert make(problem)(POINT).status == "ok"
    failed, fine = diverging.log.rows()
    assert failed["status"] == score.status and "iteration" in score.status and failed.get("test_error", "") == ""
    assert fine["status"] == "ok" and float(fine["test_error"]) < 1
    again = diverging(POINT)
    assert (again.error, again.status) == (score.error, score.status) and len(diverging.log.rows()) == 2


CPU_FULL = (
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "3221225472 bytes. Error code 12 (Cannot allocate memory)"
)
GPU_FULL = "CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacity of 1.00 GiB"


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(GPU_FULL),
        RuntimeError(CPU_FULL),
        MemoryError(),
        OSError(12, "no"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
@pytest.mark.parametrize("where", [(run_training, "timed"), (run_training, "train"), (evaluate, "error_and_loss")])
def test_a_run_without_enough_memory_is_a_row_and_the_others_go_on(
    problem: Problem, error: Exception, where: tuple[ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*where, full)
        score = make(problem)(POINT)
    assert score.status.startswith("out of memory: ") and "smaller batch size" in score.status and score.error == 1.0
    assert ("3.00 GiB" in score.status) == ("llocate 3" in str(error))
    assert make(problem)(POINT) == score  # not tried again
    assert make(problem)(OTHER).status == "ok"
    failed, fine = make(problem).log.rows()
    assert failed["peak_activation_bytes"] != "" and failed.get("test_error", "") == "" and fine["status"] == "ok"
    assert not any(path.is_dir() for path in problem.runs.iterdir())
    (one, other) = summarise([failed, fine])
    assert {one.out_of_memory, other.out_of_memory} == {0, 1} and "1 out of memory" in summary_table([one, other])


def test_a_run_whose_weights_could_not_be_saved_for_memory_has_no_exits_either(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(saved_run, "exit_answers", full)
    exits = Exits.of(problem.results, calibrated=False)
    assert make(problem, measurements=[exits], weights="required")(POINT).status.startswith("out of memory: ")
    assert exits.exits.rows() == exits.curves.rows() == [] and list(problem.runs.iterdir()) == []


def test_a_run_that_asks_for_more_than_there_is_really_ends_so(problem: Problem) -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert out_of_memory(raised.value) == "4194304.00 GiB more could not be had; " + WAY_OUT
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**57, np.uint8)
    assert out_of_memory(of_numpy.value) == f"{2**27:.2f} GiB more could not be had; " + WAY_OUT
    assert out_of_memory(RuntimeError("unable to mmap 9 bytes from file </a>: Cannot allocate memory (12)"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_are_no_rows(problem: Problem, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(run_training, "train", wrong)
    with pytest.raises(type(error)):
        make(problem)(POINT)
    assert make(problem).log.rows() == []


def test_an_interrupted_run_goes_on_where_it_was(problem: Problem, trainings: list[training.Trained]) -> None:
    def stop(what: str, done: int, total: int, **figures: float) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(problem, report=stop)(POINT)
    assert not make(problem).log.rows() and not trainings
    done: list[int] = []
    resumed = make(problem, report=lambda what, iteration, total, **figures: done.append(iteration))(POINT)
    assert done[0] == 4  # the epoch of 3 was saved
    whole = make_problem(problem.runs / "elsewhere")
    measured = {"pipeline_speedup_bound": resumed.pipeline_speedup_bound}  # from seconds, which no two runs share
    assert replace(make(whole)(POINT), **measured) == resumed
    first, second = make(problem).log.rows()[0], make(whole).log.rows()[0]
    assert first["test_error"] == second["test_error"] and first["train_loss"] == second["train_loss"]


@pytest.mark.parametrize("keeps", [False, True])
def test_what_a_killed_process_left_behind_its_row_is_removed_and_nothing_else(
    problem: Problem, keeps: bool, trainings: list[training.Trained]
) -> None:
    make(problem, weights="required" if keeps else "discarded")(POINT)
    folder = make(problem).run_folder(POINT)
    kept = {folder / "trained.pt"} if keeps else set()
    for again in (
        lambda: make(problem, weights="required" if keeps else "discarded")(POINT),
        lambda: finish([Run(make(problem, weights="required" if keeps else "discarded"), POINT)], silent),
    ):
        for own in ((), ("note.txt", "sub")):
            folder.mkdir(exist_ok=True)
            for name in ("checkpoint.pt", "checkpoint.part", "trained.part", *own):
                (folder / name).touch()
            folder.with_suffix(".lock").touch()
            with RunLock(folder):  # another process has the run
                again()
                assert (folder / "checkpoint.pt").exists()
            again()
            assert set(problem.runs.rglob("*")) == ({folder} if own or keeps else set()) | kept | {folder / name for name in own}
            for name in own:
                (folder / name).unlink()
    assert len(trainings) == 1


@pytest.mark.parametrize("place", ["results", "rows.csv", "exits.csv", "runs"])
def test_what_cannot_be_written_is_said_before_anything_trains(
    problem: Problem, trainings: list[training.Trained], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that refuses writers, as one that another user owns; permissions do not bind root."""
    make(problem)(OTHER)
    Exits.of(problem.results, calibrated=False).exits.append({"a": 1})
    (problem.results.folder / "exits.csv").write_text("")
    real_open, real_file = os.open, results.TemporaryFile

    def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path).name == place and flags & os.O_WRONLY:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, flags, *more, **named)

    def temporary(dir: Path) -> Any:
        if dir.name == place:
            raise OSError(30, "Read-only file system", str(dir))
        return real_file(dir=dir)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(results, "TemporaryFile", temporary)
    trainings.clear()
    with pytest.raises(UserError, match=r"must be readable and writable, but .*(denied|Read-only)"):
        make(problem, measurements=[Exits.of(problem.results, calibrated=False)])(POINT)
    assert not trainings and len(make(problem).log.rows()) == 1


def test_rows_that_are_there_are_read_where_nothing_can_be_written(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    score = make(problem)(POINT)
    make(problem).run_folder(POINT).with_suffix(".lock").touch()

    def refused(path: Any, flags: int, *more: Any) -> int:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(os, "open", refused)
    assert make(problem)(POINT) == score
    finish([Run(make(problem), POINT)], silent)


def test_waits_for_another_that_trains_the_same_and_takes_its_row(problem: Problem, trainings: list[training.Trained]) -> None:
    evaluator, scores = make(problem), []
    with RunLock(evaluator.run_folder(POINT)):
        waiting = threading.Thread(target=lambda: scores.append(make(problem)(POINT)))
        waiting.start()
        evaluator.run(POINT)
        assert not scores
    waiting.join()
    assert len(trainings) == len(evaluator.log.rows()) == len(scores) == 1


def test_without_test_the_test_split_is_never_read(problem: Problem) -> None:
    problem = replace(problem, data=replace(problem.data, read_test=never))
    evaluator = make(problem, test=False)
    assert evaluator(POINT).status == "ok"
    assert "test_error" not in evaluator.log.rows()[0]


@pytest.mark.parametrize(
    "strategy", ["random(trials=2)", "exhaustive", "optuna(trials=2)", "sedona(pretrain=3,meta_steps=2,inner_steps=1,memory=2)"]
)
def test_no_search_reads_the_test_split(problem: Problem, strategy: str) -> None:
    problem = replace(
        problem,
        data=replace(problem.data, read_test=never),
        space=read_space("small(width=0.25,heads=[linear],num_blocks=2,gaps=[2,4])", (2, 8, 8), 3),
    )
    found = STRATEGIES.build(strategy).search(problem, Evaluations(when_told(make(problem, test=False))), silent)
    problem.space.check(found.decoupling)


def test_with_test_it_is_read_once_after_training(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []

    def read() -> Split:
        events.append("test")
        return split(45, 2)

    def train(*given: Any, **named: Any) -> training.Trained:
        trained = training.train(*given, **named)
        events.append("trained")
        return trained

    monkeypatch.setattr(run_training, "train", train)
    exits = Exits.of(problem.results, calibrated=False)
    make(replace(problem, data=replace(problem.data, read_test=read)), measurements=[ensemble(problem, 3), exits])(POINT)
    assert events == ["trained", "test"]


@pytest.mark.parametrize("method", [str(METHODS.resolve(name)) for name in ("dgl", "al", "man", "contsup", "early_exit")])
def test_each_exit_is_the_network_that_ends_there(problem: Problem, method: str) -> None:
    """Errors sample by sample; the cost of a depth that is the last is the whole network's."""
    problem = replace(problem, method=method)
    exits = Exits.of(problem.results, calibrated=False)
    evaluator = make(problem, measurements=[exits])
    row = evaluator.run(POINT)
    rows = exit_rows(evaluator)
    assert [(int(exit["depth"]), int(exit["units"])) for exit in rows] == [(1, 2), (2, 4), (3, 6)]
    assert rows == exits.exits.rows()
    assert all(exit[name] == row[name] for exit in rows for name in ("commit", "torch", "device", "command"))
    assert (rows[-1]["params"], rows[-1]["macs"]) == (row["params"], row["macs"])
    trained = evaluator.training.train(
        problem.adapt(POINT), problem.runs / "again", evaluator.training.cost(problem.adapt(POINT))
    )[0].method.eval()
    for depth, exit in enumerate(rows):
        for name, part in (("test", problem.data.test()), ("validation", problem.data.validation)):
            logits = torch.cat([list(trained.exits(x))[depth] for x, _ in problem.data.eval_batches(part, 1)])
            y = torch.cat([y for _, y in problem.data.eval_batches(part, 1)])
            assert float(exit[f"{name}_error"]) == pytest.approx((logits.argmax(1) != y).double().mean().item())
            assert float(exit[f"{name}_loss"]) == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-4)
    assert float(rows[-1]["test_error"]) == float(row["test_error"])
    macs = [int(exit["macs"]) for exit in rows]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        next(trained.exits(torch.zeros(1, 2, 8, 8)))
    assert 2 * macs[0] == counter.get_total_flops() and macs == sorted(macs)


@pytest.mark.parametrize(("method", "num_blocks"), [("early_exit", "1"), ("dgl", "3"), ("man(base=dgl)", "3")])
def test_a_row_counts_the_blocks_that_no_gradient_joins(problem: Problem, method: str, num_blocks: str) -> None:
    row = make(replace(problem, method=str(METHODS.resolve(method)))).run(POINT)
    assert (row["num_blocks"], row["decoupling"]) == (num_blocks, str(POINT))


def test_exits_of_a_run_that_was_cut_short_are_not_written_twice(problem: Problem) -> None:
    exits = Exits.of(problem.results, calibrated=False)
    make(problem, measurements=[exits])(POINT)
    (problem.results.folder / "rows.csv").unlink()  # as if killed before the run's own row
    make(problem, measurements=[exits])(POINT)
    assert len(exits.exits.rows()) == 3


@pytest.mark.parametrize("method", ["dgl(label_smoothing=0.1)", "early_exit(label_smoothing=0.1,exit_weight=1.0)"])
def test_a_run_of_before_there_were_curves_is_trained_for_them(
    problem: Problem, trainings: list[training.Trained], method: str
) -> None:
    problem = replace(problem, method=method)
    exits = Exits.of(problem.results, calibrated=False)
    make(problem, measurements=[exits])(POINT)
    rows = [{**row, "seconds": "", "timed_samples": ""} for row in exits.exits.rows()]
    for path in (exits.exits.path, exits.curves.path):
        path.unlink()
    exits.exits.append_all(rows)
    evaluator = make(problem, measurements=[exits])
    assert not evaluator.is_done(POINT) and evaluator(POINT) == make(problem, measurements=[exits])(POINT)
    assert len(trainings) == 2 and len(curve_rows(evaluator)) > 10  # not a third time
    assert exit_rows(evaluator) == rows and len(evaluator.log.rows()) == 1


def test_one_exit_has_no_curve_and_a_run_that_diverged_no_exits_and_neither_is_repeated(problem: Problem) -> None:
    diverging = replace(problem, settings=replace(problem.settings, lr=1e30))
    for one in (replace(problem, method="backprop(label_smoothing=0.1)"), diverging):
        evaluator = make(one, measurements=[Exits.of(problem.results, calibrated=False)])
        evaluator(POINT)
        assert evaluator.recorded(POINT) is not None and curve_rows(evaluator) == []


def test_reports_say_how_far_it_is(problem: Problem) -> None:
    calls: list[tuple[str, int, int, dict[str, float]]] = []
    make(problem, report=lambda what, done, total, **figures: calls.append((what, done, total, figures)))(OTHER)
    assert {call[0] for call in calls} == {f"dgl {OTHER} seed 0"} and {call[2] for call in calls} == {8}
    assert [call[1] for call in calls if "validation_error" in call[3]] == [3, 6, 8]
    assert Batches(problem.data, 20).num_batches == 3


@pytest.mark.parametrize("grow", ["frozen", "training(starts=[0.0,0.25,0.5])"])
def test_a_grown_run_is_a_row_of_its_own_with_exits_as_always(problem: Problem, grow: str) -> None:
    """Its costs are those of a step in which every stage trains."""
    joint = make(problem).run(POINT)
    exits, figures = Exits.of(problem.results, calibrated=False), []
    grown = replace(problem, settings=replace(problem.settings, grow=grow))
    evaluator = make(grown, measurements=[exits], report=lambda what, done, total, **shown: figures.append(shown.get("stages")))
    row = evaluator.run(POINT)
    assert (joint["grow"], row["grow"]) == ("", grow) and row["test_error"] == exit_rows(evaluator)[-1]["test_error"]
    assert all(row[name] == joint[name] for name in ("params", "macs", "peak_activation_bytes"))
    assert float(row["pipeline_speedup_bound"]) > 1 and {*figures} == {1, 2, 3} and figures == sorted(figures)
