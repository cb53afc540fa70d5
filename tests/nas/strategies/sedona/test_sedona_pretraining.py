"""Pretraining is done once for all searches that share it, keeps the snapshots that it should, and survives a kill."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import run
from nas.data.images.augmentation import Augmentation
from nas.data.images.images import Batches
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.sedona import meta_learning, pretraining
from nas.strategies.sedona.meta_learning import MetaLearning
from nas.strategies.sedona.pretraining import Pretraining
from nas.strategies.sedona.relaxed_training import RelaxedTraining
from nas.strategies.sedona.settings import Settings
from nas.strategies.sedona.weight_memory import Snapshot
from spaces.notation.errors import UserError

PRETRAIN, META_STEPS, MEMORY = 4, 2, 3
TINY = {"pretrain": PRETRAIN, "meta_steps": META_STEPS, "inner_steps": 2, "memory": MEMORY, "outer_batch": 32}
PHASE = "sedona: pretraining the weight memory"


def search(problem, report=silent, **settings):
    """How many steps of pretraining the search took."""
    steps = []

    def counted(what, *done, **figures):
        steps.append(what)
        report(what, *done, **figures)

    written = ",".join(f"{name}={value}" for name, value in (TINY | settings).items())
    score = Score(0.5, 0.0, peak_activation_bytes=1, pipeline_speedup_bound=1.0)
    STRATEGIES.build(f"sedona({written})").search(problem, Evaluations(when_told(lambda decoupling: score)), counted)
    return steps.count(PHASE)


def trajectory(problem):
    return (problem.results.folder / "alpha_beta.csv").read_bytes()


def pretrained(problem, **settings):
    """The pretraining, done, and the index of its snapshots."""
    chosen = Settings(**TINY | settings)
    done = Pretraining(chosen, problem, RelaxedTraining(problem, chosen.objective, chosen.lr, chosen.pretrain), silent)
    return done, done.run()[1]["snapshots"]


def snapshots_below(folder):
    return list(folder.rglob("*.snapshot"))


# ---- shared


@pytest.mark.parametrize(
    ("settings", "constraints"),
    [
        ({"meta_lr": 0.05}, {"num_blocks": 2}),
        ({"engine": "identity"}, {"num_blocks": 2}),
        ({"inner_batch": 8}, {"num_blocks": 2}),
        ({"memory_weight": 1.0}, {"num_blocks": 2}),
        ({}, {"num_blocks": 3}),
        ({}, {"num_blocks": 2, "min_block": 2}),
    ],
    ids=str,
)
def test_a_search_that_differs_in_its_meta_learning_finds_the_pretraining_done(digits_problem, settings, constraints):
    """And ends to the bit as if it had done it."""
    gaps = [2, 4]
    first, second = digits_problem(gaps=gaps, num_blocks=2), digits_problem(gaps=gaps, **constraints)
    alone = digits_problem("alone", gaps=gaps, **constraints)
    assert search(first) == PRETRAIN
    before = trajectory(first)
    assert search(second, **settings) == 0
    assert search(alone, **settings) == PRETRAIN
    header, *own = trajectory(alone).splitlines()
    assert trajectory(second).startswith(before) and trajectory(second).splitlines()[-len(own) :] == own
    assert own[0].split(b",")[0] not in before, "another search, not the first one's rows"
    assert before.startswith(header)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"lr": 0.05}, {}),
        ({"pretrain": 5}, {}),
        ({"objective": "train"}, {}),
        ({"memory": 2}, {}),
        ({"eviction": "worst"}, {}),
        ({}, {"seed": 1}),
        ({}, {"heads": ["linear"]}),
        ({}, {"precision": "bf16"}),
        ({}, {"gaps": [2, 3]}),
        ({}, {"backbone": "small(width=0.5)"}),
    ],
    ids=str,
)
def test_a_search_that_would_pretrain_otherwise_does_so(digits_problem, settings, other):
    space = {"gaps": [2, 4], "num_blocks": 2}
    assert search(digits_problem(**space)) == PRETRAIN
    assert search(digits_problem(**space | other), **settings) == settings.get("pretrain", PRETRAIN)


@pytest.mark.parametrize(("eviction", "steps"), [("oldest", 0), ("worst", PRETRAIN)])
def test_the_outer_batch_counts_where_it_tells_the_worst_snapshot(digits_problem, eviction, steps):
    problem = digits_problem(num_blocks=2)
    search(problem, eviction=eviction)
    assert search(problem, eviction=eviction, outer_batch=64) == steps


# ---- what it keeps


def test_the_oldest_snapshots_go(digits_problem):
    _, kept = pretrained(digits_problem(num_blocks=2), pretrain=7)
    assert [snapshot["step"] for snapshot in kept] == [5, 6, 7]


def test_snapshots_are_apart_in_a_long_pretraining(digits_problem, monkeypatch):
    monkeypatch.setattr(pretraining, "SNAPSHOTS_IN_PRETRAINING", 5)
    _, kept = pretrained(digits_problem(num_blocks=2), pretrain=11)
    assert [snapshot["step"] for snapshot in kept] == [6, 8, 10]


def test_the_snapshots_of_the_highest_validation_loss_go(digits_problem):
    """Found again from all snapshots: the best stay, and the last, which is not yet judged when it comes."""
    problem, settings = digits_problem(num_blocks=2), {"pretrain": 10, "lr": 1.0, "eviction": "worst"}
    everything, index = pretrained(problem, **settings, memory=10)
    fresh = RelaxedTraining(problem, "validation", 1.0, 10)
    batches = Batches(problem.data, 32, split=problem.data.validation, augmentation=Augmentation())
    losses = {}
    for entry in index:
        everything.memory.load(Snapshot(**entry), fresh.relaxation, fresh.optimizer)
        x, y = batches.batch(problem.seed, entry["step"])
        with torch.no_grad():
            for unit in fresh.relaxation.units:
                x = unit(x)
            losses[entry["step"]] = float(F.cross_entropy(fresh.relaxation.classifier(x), y))
        assert entry["error"] == pytest.approx(losses[entry["step"]], rel=1e-5)
    best = sorted(range(1, 10), key=losses.__getitem__)[:2]
    assert best != [9, 8], "else the oldest would go as well"
    _, kept = pretrained(problem, **settings)
    assert [snapshot["step"] for snapshot in kept] == [*sorted(best), 10]


# ---- on disk


@pytest.mark.parametrize("eviction", ["oldest", "worst"])
def test_what_stays_on_disk(digits_problem, eviction):
    problem = digits_problem(num_blocks=2)
    search(problem, eviction=eviction, pretrain=25)
    own, shared = ({path.parent for path in problem.runs.glob(f"*/{name}.pt")} for name in ("search", "pretraining"))
    assert len(own) == len(shared) == 1
    assert snapshots_below(own.pop()) == [] and len(snapshots_below(shared.pop())) == MEMORY
    assert not list(problem.runs.rglob("*.part"))


def test_what_a_killed_process_left_goes_with_the_next_search(digits_problem):
    problem = digits_problem(num_blocks=2)
    done, kept = pretrained(problem)
    for name in ("9.snapshot", "10.part"):
        (done.folder / name).write_bytes(b"left")
    search(problem)
    assert {path.name for path in snapshots_below(done.folder)} == {snapshot["file"] for snapshot in kept}
    assert not list(problem.runs.rglob("*.part"))


def test_disk_that_a_search_may_not_take(digits_problem, tmp_path):
    """The bound is twice the memory and what comes between two collections; a snapshot's size is read off its file."""
    problem = digits_problem("many", num_blocks=2)
    with pytest.raises(UserError, match=r"100000 snapshots .* got disk_gb=0.5; lower sedona's memory or raise") as refused:
        search(problem, memory=100_000, disk_gb=0.5)
    assert not problem.runs.exists() and not problem.results.folder.exists()
    needed = float(re.search(r"take ([\d.]+) GB", str(refused.value))[1])
    _, _ = pretrained(digits_problem(num_blocks=2))
    size = max(path.stat().st_size for path in snapshots_below(tmp_path / "one")) / 1e9
    assert needed == pytest.approx(2 * 100_010 * size, rel=0.1)
    MetaLearning(Settings(**TINY | {"memory": 100_000, "disk_gb": needed + 0.1}), problem, silent)


@pytest.mark.parametrize("eviction", ["oldest", "worst"])
def test_a_search_never_takes_more_disk_than_it_said(digits_problem, monkeypatch, eviction):
    monkeypatch.setattr(pretraining, "ADDS_BETWEEN_SAVES", 2)
    monkeypatch.setattr(meta_learning, "ADDS_BETWEEN_SAVES", 2)
    problem, taken = digits_problem(num_blocks=2), []
    settings = {"pretrain": 9, "meta_steps": 9, "eviction": eviction}
    search(problem, lambda *_, **__: taken.append(len(snapshots_below(problem.runs))), **settings)
    assert MEMORY + 2 < max(taken) <= 2 * (MEMORY + 2)


# ---- killed

KILLED_PRETRAIN, KILLED_META_STEPS = 150, 60
STRATEGY = (
    f"sedona(pretrain={KILLED_PRETRAIN},meta_steps={KILLED_META_STEPS},inner_steps=1,memory=3,outer_batch=32,eviction=worst)"
)
COMMAND = (
    "search",
    "--space",
    "small(width=0.25,num_blocks=2,gaps=[2,4],heads=[linear])",
    "--iterations",
    "2",
    "--batch-size",
    "32",
    "--strategy",
    STRATEGY,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The trajectory of COMMAND when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run.main([*COMMAND, "--json"]) == 0
    return (folder / "results" / "alpha_beta.csv").read_bytes()


def killed_when(reached):
    """Start COMMAND in a process of its own, and kill it soon after `reached()`."""
    with subprocess.Popen(
        [sys.executable, Path(run.__file__).resolve(), *COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        while not reached():
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.1))
        process.kill()
    assert process.returncode == -signal.SIGKILL


def saved_step(name, count):
    """How far the only checkpoint of this name is; 0 where there is none."""
    return max((torch.load(path)[count] for path in Path("runs").glob(f"*/{name}.pt")), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("during", ["pretraining", "meta-learning"])
def test_a_killed_search_goes_on_from_its_last_save_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch, undisturbed, during):
    monkeypatch.chdir(tmp_path)
    trajectory = Path("results/alpha_beta.csv")

    def reached():
        if during == "pretraining":
            return any(Path("runs").glob("*/pretraining.pt"))
        return trajectory.exists() and trajectory.read_bytes().count(b"\n") > 40

    killed_when(reached)
    pretrained, learned = saved_step("pretraining", "step"), saved_step("search", "meta")
    if during == "pretraining":
        assert 0 < pretrained < KILLED_PRETRAIN and learned == 0
    else:
        assert pretrained == KILLED_PRETRAIN and 0 < learned < KILLED_META_STEPS

    steps, step = [], RelaxedTraining.step
    monkeypatch.setattr(RelaxedTraining, "step", lambda *arguments, **settings: steps.append(1) or step(*arguments, **settings))
    assert run.main([*COMMAND, "--json"]) == 0
    assert len(steps) == KILLED_PRETRAIN - pretrained + KILLED_META_STEPS - learned
    assert trajectory.read_bytes() == undisturbed
