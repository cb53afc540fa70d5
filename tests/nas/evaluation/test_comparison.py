"""Comparisons: which runs there are, how settings are chosen, and that processes share them without loss or repetition."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from methods.training import loop as training
from methods.training.diverged import Diverged
from methods.training.loop import Trained
from methods.training.settings import TrainingSettings
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluation import run_training
from nas.evaluation.comparison import Comparison
from nas.evaluation.measurements.ensemble import Ensemble
from nas.evaluation.measurements.exits import Exits
from nas.evaluation.run_training import RunTraining
from nas.problem import Problem, silent
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.records.run_lock import RunLock
from spaces.named import read_space
from spaces.notation.errors import UserError

HERE = Path(__file__).resolve().parent
POINTS = ("2:linear 4:linear", "3:linear")
COSINE = "cosine(warmup=0.0,final=0.01)"


def split(size: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randint(256, (size, 4, 4, 1), generator=generator, dtype=torch.uint8), torch.arange(size) % 3)


def compare(
    folder: Path,
    methods: Sequence[str] = ("dgl", "backprop"),
    points: Sequence[str] = POINTS,
    num_seeds: int = 2,
    *,
    iterations: int = 6,
    grow: str | None = None,
    **others: Any,
) -> Comparison:
    images = Images(split(40, 0), split(20, 1), lambda: split(20, 2), 3, (0.5,), (0.3,))
    settings = TrainingSettings(iterations=iterations, batch_size=10, grow=grow)
    space = read_space("small(width=0.25,heads=[linear])", (1, 4, 4), 3)
    problem = Problem(space, "dgl", "toy", images, settings, 0, torch.device("cpu"), Results(folder), folder / "runs")
    given: dict[str, Any] = {"rates": [0.1], "schedules": ["cosine"], "report": silent, "command": "here"}
    log, tuning_log = ResultsLog(folder / "evaluate.csv"), ResultsLog(folder / "search.csv")
    return Comparison(problem, methods, points, range(num_seeds), log=log, tuning_log=tuning_log, **given | others)


def ensemble(folder: Path, size: int) -> Ensemble:
    return Ensemble.of(Results(folder), ResultsLog(folder / "evaluate.csv"), size)


def names(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["method"].partition("(")[0], row["decoupling"], row["seed"]) for row in rows]


WANTED = [("dgl", point, seed) for seed in "01" for point in POINTS] + [("backprop", "uncut", seed) for seed in "01"]


class Scripted:
    """Training that takes no time: a fresh network, and the validation error that `errors` gives for the method and the lr."""

    def __init__(self, errors: dict[tuple[str, float], float]) -> None:
        self.errors = errors
        self.trained: list[tuple[str, float, str]] = []

    def train(self, method: Any, batches: Any, validation: Any, settings: TrainingSettings, **others: Any) -> Trained:
        name = type(method).__name__.lower()
        self.trained.append((name, settings.lr, settings.schedule.partition("(")[0]))
        error = self.errors.get((name, settings.lr), 0.5)
        if error == 1.0:
            raise Diverged("the loss of stage 0 is nan at iteration 0")
        return Trained(method, error, 1.0, 1, 1.0, 0.1)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    stub = Scripted({})
    monkeypatch.setattr(run_training, "train", stub.train)
    monkeypatch.setattr(RunTraining, "timed", lambda self, decoupling, costs: costs)
    return stub


def test_the_runs_are_methods_times_decouplings_times_seeds(tmp_path: Path, scripted: Scripted) -> None:
    comparison = compare(tmp_path)
    assert comparison.counts() == (0, 6)
    rows = comparison.run()
    assert names(rows) == WANTED  # backprop has no use for cuts: one row a seed
    assert comparison.counts() == (6, 6) and len(scripted.trained) == 6
    assert all(0 <= float(row["test_error"]) <= 1 for row in rows) and rows == comparison.log.rows()
    assert compare(tmp_path).run() == rows and len(scripted.trained) == 6


def test_more_seeds_add_their_runs_alone(tmp_path: Path, scripted: Scripted) -> None:
    compare(tmp_path, num_seeds=1).run()
    assert compare(tmp_path).counts() == (3, 6)
    assert names(compare(tmp_path).run()) == WANTED and len(scripted.trained) == 6


def test_equal_decouplings_and_methods_are_one_run(tmp_path: Path, scripted: Scripted) -> None:
    rows = compare(tmp_path, ("dgl", "dgl(label_smoothing=0.1)"), ("even(2,head=linear)", "3:linear"), 1).run()
    assert names(rows) == [("dgl", "3:linear", "0")]


def test_a_method_gives_its_own_head_where_none_is_named(tmp_path: Path, scripted: Scripted) -> None:
    rows = compare(tmp_path, ("dgl", "predsim", "backprop"), ("even(2)",), 1).run()
    assert [row["decoupling"] for row in rows] == ["3:mlp_sr", "3:predsim", "uncut"]


def test_tuning_picks_each_methods_lowest_validation_error(tmp_path: Path, scripted: Scripted) -> None:
    scripted.errors = {
        ("dgl", 0.1): 0.3,
        ("dgl", 0.2): 0.2,
        ("dgl", 0.4): 1.0,
        ("backprop", 0.1): 0.4,
        ("backprop", 0.2): 0.5,
        ("backprop", 0.4): 0.1,
    }
    comparison = compare(tmp_path, rates=[0.1, 0.2, 0.4])
    assert comparison.counts() == (0, 6)  # what follows is not decided yet
    rows = comparison.run()
    assert {(row["method"].partition("(")[0], row["lr"]) for row in rows} == {("dgl", "0.2"), ("backprop", "0.4")}
    assert names(rows) == WANTED
    tuning = comparison.tuning_log.rows()
    assert len(tuning) == 6 and {(row["strategy"], row["seed"]) for row in tuning} == {("tune", "0")}
    assert {row["decoupling"] for row in tuning} == {POINTS[0], "uncut"}
    assert not any(name.endswith("test_error") and row[name] for row in tuning for name in row)
    assert comparison.counts() == (12, 12) and len(scripted.trained) == 12


def test_tuning_tries_every_pair_of_rate_and_schedule(tmp_path: Path, scripted: Scripted) -> None:
    scripted.errors = {("dgl", 0.2): 0.1}
    rows = compare(tmp_path, ["dgl"], num_seeds=1, rates=[0.1, 0.2], schedules=["cosine", "multistep"]).run()
    pairs = [("dgl", rate, schedule) for rate in (0.1, 0.2) for schedule in ("cosine", "multistep")]
    assert scripted.trained[:4] == pairs
    assert {(row["lr"], row["schedule"]) for row in rows} == {("0.2", COSINE)}  # the earlier of equals


def test_tries_of_weight_decay_may_be_shorter_than_runs_which_say_how_many_there_were(tmp_path: Path, scripted: Scripted) -> None:
    given: dict[str, Any] = {"rates": [0.1, 0.2], "weight_decays": [1e-4, 5e-4], "tuning_iterations": 2, "num_seeds": 1}
    scripted.errors = {("dgl", 0.1): 1.0, ("dgl", 0.2): 0.3}
    comparison = compare(tmp_path, **given)
    assert comparison.choices() == []  # before anything was tried
    rows = comparison.run()
    tries = comparison.tuning_log.rows()
    pairs = [(lr, decay) for lr in ("0.1", "0.2") for decay in ("0.0001", "0.0005")]
    for method in ("dgl", "backprop"):  # as many for each
        assert [(row["lr"], row["weight_decay"]) for row in tries if row["method"].startswith(method)] == pairs
    assert {row["iterations"] for row in tries} == {"2"} and {row["iterations"] for row in rows} == {"6"}
    assert {(row["method"][:3], row["lr"], row["weight_decay"], row["tries"]) for row in rows} == {
        ("dgl", "0.2", "0.0001", "4"),
        ("bac", "0.1", "0.0001", "4"),
    }
    dgl, backprop = compare(tmp_path, **given).choices()
    assert (dgl.tries, dgl.iterations, dgl.failed, dgl.validation_error) == (4, 2, 2, 0.3)
    assert (backprop.failed, backprop.validation_error) == (0, 0.5)
    assert not any(row.get("test_error") for row in tries)


def test_tuning_never_reads_the_test_split(tmp_path: Path, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    test = Images.test
    monkeypatch.setattr(Images, "test", lambda self: (reads.append(len(scripted.trained)), test(self))[1])  # type: ignore[func-returns-value]
    compare(tmp_path, ["dgl"], num_seeds=1, rates=[0.1, 0.2]).run()
    assert reads == [3, 4]


@pytest.mark.slow
def test_a_run_that_diverges_does_not_stop_the_others(tmp_path: Path, scripted: Scripted) -> None:
    scripted.errors = {("dgl", 0.1): 1.0}
    rows = compare(tmp_path).run()
    assert names(rows) == WANTED
    assert [row["status"].partition(":")[0] for row in rows] == ["diverged"] * 4 + ["ok"] * 2


def test_an_ensemble_of_more_heads_than_any_run_has_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got 4, but no run has more than 3"):
        compare(tmp_path, measurements=[ensemble(tmp_path, 4)])


def test_an_ensemble_of_heads_that_give_no_logits_is_a_user_error(tmp_path: Path) -> None:
    compare(tmp_path, ["infopro"], measurements=[ensemble(tmp_path, 2)])
    with pytest.raises(UserError, match=r"those of infopro\(loss=contrast.* give none"):
        compare(tmp_path, ["dgl", "infopro(loss=contrast)"], measurements=[ensemble(tmp_path, 2)])
    with pytest.raises(UserError, match=r"leave --exits, or the method, out"):
        compare(tmp_path, ["infopro(loss=contrast)"], measurements=[Exits.of(Results(tmp_path), calibrated=False)])
    with pytest.raises(UserError, match=r"leave --grow, or the method, out"):
        compare(tmp_path, ["infopro(loss=contrast)"], grow="frozen")


def test_leaves_to_another_process_what_it_trains_and_waits_for_it_last(tmp_path: Path, scripted: Scripted) -> None:
    comparison = compare(tmp_path)
    first = comparison._runs("dgl(label_smoothing=0.1)")[0]
    done: list[int] = []
    all_others = threading.Event()

    def report(what: str, count: int, total: int, **figures: float) -> None:
        if what == "runs":
            done.append(count)
        if done[-1:] == [5]:
            all_others.set()

    with RunLock(first.evaluator.run_folder(first.decoupling)):
        here = threading.Thread(target=compare(tmp_path, report=report).run)
        here.start()
        assert all_others.wait(60)
        assert names(ResultsLog(tmp_path / "evaluate.csv").rows()) == WANTED[1:]
        here.join(0.1)
        assert here.is_alive()
        first.evaluator.run(first.decoupling)
    here.join(60)
    assert done == [0, 1, 2, 3, 4, 5, 6] and len(scripted.trained) == 6
    assert Counter(names(comparison.log.rows())) == Counter(WANTED)


def main(folder: str, iterations: str, num_seeds: str, dies_at: str) -> None:
    """What another process runs: the comparison. It prints how many trainings it finished, or dies within one."""
    torch.set_num_threads(1)
    finished = 0

    def counted(*given: Any, **named: Any) -> Trained:
        nonlocal finished
        trained = training.train(*given, **named)
        finished += 1
        return trained

    def report(what: str, done: int, total: int, **figures: float) -> None:
        if str(done) == dies_at and "failed" not in figures:
            os.kill(os.getpid(), signal.SIGKILL)

    run_training.train = counted
    comparison = compare(Path(folder), num_seeds=int(num_seeds), iterations=int(iterations), report=report)
    print("ready", flush=True)
    sys.stdin.readline()
    comparison.run()
    print(finished)


def start(folder: Path, *, iterations: int, num_seeds: int, dies_at: int | None = None) -> subprocess.Popen:
    folders = [str(HERE), str(HERE.parents[2])]
    script = f"import sys; sys.path[:0] = {folders}; import test_comparison; test_comparison.main(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), str(iterations), str(num_seeds), str(dies_at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_two_processes_share_the_runs_and_neither_loses_nor_repeats_one(tmp_path: Path) -> None:
    processes = [start(tmp_path, iterations=6, num_seeds=2) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate()[0].split()[-1]) for process in processes]
    assert sum(counts) == 6 and all(process.returncode == 0 for process in processes)
    assert Counter(names(ResultsLog(tmp_path / "evaluate.csv").rows())) == Counter(WANTED)


@pytest.mark.slow
def test_a_killed_process_leaves_its_run_to_the_next_which_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    process = start(tmp_path / "killed", iterations=20, num_seeds=1, dies_at=15)
    process.communicate("go\n")
    assert process.returncode == -signal.SIGKILL
    killed, whole = (compare(tmp_path / name, num_seeds=1, iterations=20) for name in ("killed", "whole"))
    assert killed.counts() == (0, 3)
    scores = [
        [
            (*name, row["validation_error"], row["test_error"], row["train_loss"])
            for name, row in zip(names(rows), rows, strict=True)
        ]
        for rows in (killed.run(), whole.run())
    ]
    assert scores[0] == scores[1] and len(killed.log.rows()) == 3
