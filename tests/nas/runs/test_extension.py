"""An extended run: its first blocks are those of the run to the bit, exits included, and only what is behind them learns."""

import copy
import gzip
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from methods.method import Method
from methods.table import METHODS
from methods.training.loop import Trained, train
from nas.evaluation import run_training
from nas.problem import Problem
from nas.runs.trained_run import TrainedRun, run_name
from nas.tasks import TASKS
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from tests.nas.evaluation.test_evaluator import make, make_problem

IMAGES = ("prefix(of='small(width=0.25)',units=4)", "small(width=0.25)")
CASES = {  # of a method: the space of the run, the space of its extension, where both are cut, and where the extension is too
    "dgl": (*IMAGES, "2:linear", "4:linear 5:conv(depth=1)"),
    "al": (*IMAGES, "2:none", "4:none 5:none"),
    "greedy": (*IMAGES, "uncut", "4:linear"),
    "contsup": (*IMAGES, "2:linear", "4:linear 5:linear"),
    "infopro": (*IMAGES, "2:linear", "4:linear"),
    "predsim": (*IMAGES, "uncut", "4:predsim"),
    "dgl(label_smoothing=0.0)": ("prefix(of='small(width=0.25)',units=4,head=mlp_sr)", IMAGES[1], "2:linear", "4:mlp_sr"),
}
TEXTS = {
    "dgl": ("{space}(depth=1,num_blocks=2,embedding=12)", "{space}(depth=3,embedding=12)", "1:linear", "2:linear 3:linear"),
    "al": ("{space}(depth=1,num_blocks=2,embedding=12)", "{space}(depth=3,embedding=12)", "1:none", "2:none 3:none"),
}
WEIGHTS: dict[str | None, dict[str, torch.Tensor]] = {}  # of the runs that were trained, by name


def spaced(problem: Problem, method: str, space: str) -> Problem:
    data = problem.data
    return replace(problem, method=str(METHODS.resolve(method)), space=read_space(space, data.input_shape, data.num_classes))


def trained_run(problem: Problem, decoupling: str, **named: Any) -> TrainedRun:
    """A run of the problem as it is kept; training moves its running statistics too. Equal runs are trained once a session."""
    point = problem.adapt(read_decoupling(decoupling, problem.space, "linear"))
    key = problem.key(point)
    name = run_name(key) if not named else None
    if name is None or name not in WEIGHTS:
        method, batches = problem.build(point), problem.data.train_batches(problem.settings.batch_size)
        validation = partial(problem.data.eval_batches, problem.data.validation, 64)
        train(method, batches, validation, problem.settings, seed=0, device=problem.device, **named)
        WEIGHTS[name] = method.state_dict()
    weights = {tensor: value.clone() for tensor, value in WEIGHTS[name].items()}
    return TrainedRun(problem.runs / "moved" / "trained.pt", key, problem.data.inputs, (), weights)


def extended(problem: Problem, method: str, case: tuple[str, str, str, str]) -> tuple[TrainedRun, Problem, str]:
    """A run, what extends it, and the decoupling of that."""
    old, new, cuts, more = case
    run = trained_run(spaced(problem, method, old), cuts)
    return run, replace(spaced(problem, method, new), extends=run), more if cuts == "uncut" else f"{cuts} {more}"


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


@pytest.fixture
def texts(tmp_path: Path) -> Problem:
    rows = [f"{'good great fine' if i % 2 else 'bad poor awful'} film number {i % 7},{i % 2}" for i in range(60)]
    for name in ("train", "test"):
        write_texts(tmp_path / f"{name}.csv.gz", rows)
    return of_texts(make_problem(tmp_path), tmp_path)


def write_texts(path: Path, rows: list[str]) -> None:
    path.write_bytes(gzip.compress("\n".join(["text,label", *rows, ""]).encode()))


def of_texts(problem: Problem, folder: Path) -> Problem:
    task = TASKS.resolve("texts(root='.',length=8)")
    settings = replace(problem.settings, optimizer="adam", lr=0.01)
    return replace(problem, task=str(task), data=TASKS.build(task, folder), settings=settings)


def check(run: TrainedRun, new: Problem, decoupling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the extension as `evaluate` does; what the run was is unchanged to the bit, and what is new is not."""
    finished: list[tuple[dict[str, torch.Tensor], Trained]] = []

    def watched(method: Method, *given: Any, **named: Any) -> Trained:
        before = copy.deepcopy(method.state_dict())
        finished.append((before, train(method, *given, **named)))
        return finished[-1][1]

    monkeypatch.setattr(run_training, "train", watched)
    row = make(new).run(read_decoupling(decoupling, new.space, "linear"))
    assert (row["status"], row["extends"]) == ("ok", run.name)
    ((before, trained),) = finished
    old, method = (part.eval().to(memory_format=torch.channels_last) for part in (run.build(), trained.method))
    k = run.decoupling.num_blocks
    frozen = [own for stage in range(k) for own in tensors(method, stage)]
    given = [own for stage in range(k) for own in tensors(old, stage)]
    assert len(frozen) >= len(given) > 0 and any((own != 0).any() for own in given)
    after = method.state_dict()
    for stage in range(method.num_stages):
        names = {name for name, tensor in after.items() for own in tensors(method, stage) if own.data_ptr() == tensor.data_ptr()}
        assert all(torch.equal(after[name], before[name]) for name in names) == (stage < k)
    x = next(new.data.eval_batches(new.data.validation, 7))[0]
    with torch.no_grad():
        exits = list(method.exits(x))
        assert len(exits) > k and all(map(torch.equal, exits, old.exits(x)))
        assert not torch.equal(exits[k], exits[k - 1])


def tensors(method: Method, k: int) -> list[torch.Tensor]:
    return list(nn.ModuleList(method.stage_modules(k)).state_dict().values())


@pytest.mark.slow
@pytest.mark.parametrize("grow", [None, "frozen", "training"])
@pytest.mark.parametrize("method", [name for name in CASES if name != "predsim"])
def test_the_blocks_of_the_run_stay_and_answer_to_the_bit(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, method: str, grow: str | None
) -> None:
    run, new, decoupling = extended(problem, method, CASES[method])
    if grow and decoupling.count(":") == run.decoupling.num_blocks:
        with pytest.raises(UserError, match="for one"):
            make(replace(new, settings=replace(new.settings, grow=grow))).run(read_decoupling(decoupling, new.space, "linear"))
        return
    check(run, replace(new, settings=replace(new.settings, grow=grow)), decoupling, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["transformer", "lstm", "linear"])
@pytest.mark.parametrize("method", TEXTS)
def test_texts_too(texts: Problem, monkeypatch: pytest.MonkeyPatch, method: str, space: str) -> None:
    run, new, decoupling = extended(texts, method, tuple(part.format(space=space) for part in TEXTS[method]))  # type: ignore
    check(run, new, decoupling, monkeypatch)


def test_an_extension_is_a_row_of_its_own_for_each_seed(problem: Problem) -> None:
    run, new, decoupling = extended(problem, "dgl", CASES["dgl"])
    assert run.name == problem.run_folder(run.key).name
    point = read_decoupling(decoupling, new.space, "linear")
    for one in (replace(new, extends=None), new, replace(new, seed=1)):
        make(one)(point)
        make(one)(point)
    rows = make(new).log.rows()
    assert [(row["extends"], row["seed"]) for row in rows] == [("", "0"), (run.name, "0"), (run.name, "1")]
    assert len({row["validation_loss"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("method", "space", "decoupling", "says"),
    [
        ("dgl", "small(width=0.25)", "2:linear 3:linear", "cut after 2, 4 units"),
        ("dgl", "small(width=0.25)", "4:linear", "cut after 2, 4 units"),
        ("dgl", IMAGES[0], "2:linear", "there are none; cut a longer backbone after 2, 4 units"),
        ("backprop", "small(width=0.25)", "2:linear 4:linear", r"blocks of \[6\]"),
        ("dgl", "small(width=0.5)", "2:linear 4:linear", "block 1 and its head cannot be"),
        ("dgl", "small(width=0.25)", "2:conv(depth=1) 4:linear", "block 1 and its head cannot be"),
        ("dgl", "small(width=0.25)", "2:linear 4:mlp_sr", "block 2 and its head cannot be"),
        ("predsim", "small(width=0.25)", "2:linear 4:linear", "its method"),
        ("man", "small(width=0.25)", "2:linear 4:linear", "cannot be those of the run [0-9a-f]{16}, of dgl"),
        ("al", "small(width=0.25)", "2:linear 4:linear", "cannot be those of the run [0-9a-f]{16}, of dgl"),
    ],
)
def test_what_does_not_begin_with_the_run_is_refused(
    problem: Problem, method: str, space: str, decoupling: str, says: str
) -> None:
    run, *_ = extended(problem, "dgl", CASES["dgl"])
    new = replace(spaced(problem, method, space), extends=run)
    point = new.adapt(read_decoupling(decoupling, new.space, "linear"))
    for device in ("meta", "cpu"):
        with pytest.raises(UserError, match=says), torch.device(device):
            new.build(point)


@pytest.mark.parametrize(("old", "new"), [("al(activation=tanh)", "al(activation=sigmoid)"), ("al", "al(bounded_decoders=True)")])
def test_another_method_whose_weights_fit_is_told_by_its_answers(problem: Problem, old: str, new: str) -> None:
    _, extension, decoupling = extended(problem, old, CASES["al"])
    other = replace(extension, method=str(METHODS.resolve(new)))
    point = other.adapt(read_decoupling(decoupling, other.space, "linear"))
    with pytest.raises(UserError, match="exit . cannot be those of the run"):
        other.build(point)


def test_attention_heads_are_told_by_their_answers(texts: Problem) -> None:
    case = (
        "transformer(depth=1,num_blocks=2,embedding=12)",
        "transformer(depth=2,embedding=12,attention_heads=2)",
        "1:linear",
        "2:linear",
    )
    _, new, decoupling = extended(texts, "dgl", case)
    with pytest.raises(UserError, match="exit 2 cannot be those"):
        new.build(read_decoupling(decoupling, new.space, "linear"))


def test_other_inputs_are_refused(problem: Problem, texts: Problem, tmp_path: Path) -> None:
    run, new, decoupling = extended(problem, "dgl", CASES["dgl"])
    assert run.name == problem.run_folder(run.key).name
    point = read_decoupling(decoupling, new.space, "linear")
    with pytest.raises(UserError, match=r"whose mean is \[0.4, 0.4\], got \[0.5, 0.4\]; give the run's task, toy"):
        replace(new, data=replace(new.data, mean=(0.5, 0.4))).build(point)
    case = ("lstm(depth=1,num_blocks=2,embedding=12)", "lstm(depth=2,embedding=12)", "1:linear", "2:linear")
    _, new, decoupling = extended(texts, "dgl", case)
    write_texts(tmp_path / "train.csv.gz", [f"nice terrible words {i % 3},{i % 2}" for i in range(40)])
    other = of_texts(new, tmp_path)
    with pytest.raises(UserError, match="give the task vocabulary=PATH, the run's file "):
        other.build(read_decoupling(decoupling, new.space, "linear"))
