"""SEDONA's search as a whole: its answer, its trajectory, its way on after a stop, and planted problems with a known answer."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from methods.table import METHODS
from methods.training import checkpoint
from methods.training.diverged import Diverged
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.records.run_lock import RunLock
from nas.strategies import STRATEGIES
from nas.strategies.sedona import strategy
from nas.strategies.sedona.meta_learning import MetaLearning
from nas.strategies.sedona.relaxation import Relaxation
from spaces.backbone import Backbone
from spaces.notation.errors import UserError

PRETRAIN, META_STEPS = 4, 3
TINY = f"pretrain={PRETRAIN},meta_steps={META_STEPS},inner_steps=2,memory=3,outer_batch=32"
HEADS = ["linear", "conv(depth=1)"]


def search(problem, settings=TINY, report=silent, score=lambda decoupling: 0.5):
    """The decoupling found, and those that were evaluated."""
    asked = []

    def evaluate(decoupling):
        problem.space.check(decoupling)
        asked.append(decoupling)
        return Score(score(decoupling), 0.0, peak_activation_bytes=1, pipeline_speedup_bound=1.0)

    return STRATEGIES.build(f"sedona({settings})").search(problem, Evaluations(when_told(evaluate)), report).decoupling, asked


def trajectory(problem):
    return pd.read_csv(problem.results.folder / "alpha_beta.csv")


def columns(rows, prefix):
    return rows[[name for name in rows if name.startswith(prefix)]].to_numpy()


# ---- faster meta-steps


@pytest.mark.parametrize("setting", ["meta_precision=bf16", "sample_gaps=1", "sample_heads=2,engine=identity"])
def test_faster_meta_steps_are_searches_of_their_own(digits_problem, setting):
    heads = ["linear", "mlp(depth=1,width=8)", "conv(depth=1)"]
    problem = digits_problem(heads=heads, num_blocks=2)
    search(problem)
    search(problem, f"{TINY},{setting}")
    rows = trajectory(problem)
    exact, faster = (own for _, own in rows.groupby("run", sort=False))
    assert len(exact) == len(faster)
    assert (columns(exact, "alpha") != columns(faster, "alpha")).any()


def test_searches_before_there_were_faster_meta_steps_keep_their_names(digits_problem):
    plain = MetaLearning(STRATEGIES.build(f"sedona({TINY})"), digits_problem(), silent)
    assert not {"meta_precision", "sample_gaps", "sample_heads"} & plain.key.keys()
    assert MetaLearning(STRATEGIES.build(f"sedona({TINY},sample_gaps=1)"), digits_problem(), silent).key["sample_gaps"] == 1


@pytest.mark.parametrize(
    ("setting", "there"), [("sample_gaps=9", "sample_gaps is below the"), ("sample_heads=2", "sample_heads is below the 2")]
)
def test_a_sample_of_all_there_are_is_refused(digits_problem, setting, there):
    with pytest.raises(UserError, match=f"{there}.* leave it out"):
        search(digits_problem(), f"{TINY},{setting}")


# ---- what is found


@pytest.mark.parametrize(
    "constraints",
    [{"num_blocks": 3}, {"num_blocks": (1, 3)}, {"num_blocks": (2, 3), "gaps": [1, 2, 4], "min_block": 2}, {"gaps": [2, 4]}],
)
def test_one_point_for_each_number_of_blocks_is_asked_for_and_follows_from_the_last_alpha_and_beta(digits_problem, constraints):
    problem = digits_problem(**constraints)
    space = problem.space
    found, asked = search(problem, score=lambda decoupling: {1: 0.5, 2: 0.4, 3: 0.4}[decoupling.num_blocks])
    assert [point.num_blocks for point in asked] == list(space.block_counts)
    assert found == next((point for point in asked if point.num_blocks == 2), asked[0])  # the first of equals
    allowed = {
        K: [
            list(cuts)
            for cuts in combinations(space.gaps, K - 1)
            if all(b - a >= space.min_block for a, b in pairwise((0, *cuts, space.num_units)))
        ]
        for K in space.block_counts
    }
    relaxed = sorted({gap for sets in allowed.values() for cuts in sets for gap in cuts})
    rows = trajectory(problem)
    assert len(rows) == META_STEPS * len(relaxed)
    last = rows.tail(len(relaxed)).set_index("gap")
    assert list(last.index) == relaxed
    for point in asked:
        best = max(last.loc[cuts, "cut_share"].sum() for cuts in allowed[point.num_blocks])
        assert last.loc[list(point.cuts), "cut_share"].sum() == pytest.approx(best, abs=1e-6)
        for gap, head in zip(point.cuts, point.heads, strict=True):
            assert last.loc[gap, f"beta_{head}"] == max(last.loc[gap, f"beta_{other}"] for other in space.heads)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["adjoint", "identity", "unroll"])
def test_a_vision_transformer_is_searched_and_gone_on_with_to_the_bit(digits_problem, monkeypatch, engine):
    """The weight memory holds attention and LayerNorm; costs of blocks and seconds of units are of tokens."""
    settings = f"{TINY},engine={engine},memory_weight=0.1,time_weight=0.1"
    network = {"backbone": "tests.token_networks.tiny_vit(depth=3,features=8)", "heads": ["linear", "1c2f"], "num_blocks": 3}
    monkeypatch.setattr("nas.strategies.sedona.cost_penalty.block_seconds", _equal_seconds)
    whole = search(digits_problem("whole", **network), settings)
    stopped = digits_problem("stopped", **network)

    def stop(*progress, **figures):
        if "outer_loss" in figures and progress[1] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(stopped, settings, report=stop)
    assert search(stopped, settings) == whole
    alpha = [columns(trajectory(digits_problem(name, **network)), "alpha") for name in ("whole", "stopped")]
    assert np.array_equal(*alpha)


def _equal_seconds(space, batch_size, device):
    """What no two measurements share."""
    return {"units": [1.0] * space.num_units, "classifier": [1.0], **{head: [1.0] * len(space.gaps) for head in space.heads}}


def test_a_space_without_cuts_is_refused(digits_problem):
    with pytest.raises(UserError, match="single block.*num_blocks"):
        search(digits_problem(num_blocks=1))


def test_heads_without_logits_are_refused(digits_problem):
    with pytest.raises(UserError, match="logits of heads.*embedding=True"):
        search(digits_problem(num_blocks=2, heads=["linear", "0c1f(embedding=True)"]))
    with pytest.raises(UserError, match="has the head none; name one instead, such as linear"):
        search(digits_problem(num_blocks=2, heads=["none"]))


def test_a_method_whose_gradients_cross_cuts_is_refused(digits_problem):
    problem = replace(digits_problem(num_blocks=2), method=str(METHODS.resolve("early_exit")))
    with pytest.raises(UserError, match="those of early_exit.* cross every cut; take another strategy"):
        search(problem)


def test_several_objectives_are_refused_with_what_does_the_same(digits_problem):
    problem = replace(digits_problem(num_blocks=2), objectives=("error", "peak_memory"))
    with pytest.raises(UserError, match=r"got the objectives error peak_memory.*memory_weight.*time_weight"):
        search(problem)
    assert not problem.results.folder.exists() and not problem.runs.exists()


# ---- the trajectory


def test_the_trajectory_holds_every_gap_of_every_meta_step(digits_problem):
    problem = digits_problem()  # any K, so that nothing conditions the shares
    search(problem)
    rows = trajectory(problem)
    assert list(zip(rows["meta_step"], rows["gap"], strict=True)) == [
        (step, gap) for step in range(1, META_STEPS + 1) for gap in problem.space.gaps
    ]
    shares, logits = columns(rows, "share_"), columns(rows, "beta_")
    assert shares.shape == logits.shape == (len(rows), len(HEADS))
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(rows["cut_share"], 1 / (1 + np.exp(rows["alpha_uncut"] - rows["alpha_cut"])), rtol=1e-5)
    assert np.isfinite(rows["outer_loss"]).all() and rows.groupby("meta_step")["outer_loss"].nunique().eq(1).all()
    assert (rows["seed"] == 0).all() and rows["run"].nunique() == 1
    first = rows[rows["meta_step"] == 1]  # Adam's first step is the learning rate, to either side
    np.testing.assert_allclose(first[["alpha_cut", "alpha_uncut"]].abs(), 0.01, rtol=0.02)


def test_searches_that_differ_share_the_file_and_those_that_do_not_add_nothing(digits_problem):
    problem = digits_problem(num_blocks=2)
    search(problem)
    before = (problem.results.folder / "alpha_beta.csv").read_bytes()
    search(problem)
    assert (problem.results.folder / "alpha_beta.csv").read_bytes() == before
    search(digits_problem(num_blocks=2, seed=1))
    search(digits_problem(num_blocks=2, heads=["linear"]))
    rows = trajectory(problem)
    assert rows["run"].nunique() == 3 and rows.groupby("run").size().eq(META_STEPS * 5).all()


def test_the_objectives_differ(digits_problem):
    learned = []
    for objective in ("validation", "train"):
        problem = digits_problem(objective, num_blocks=2)
        search(problem, f"{TINY},objective={objective}")
        learned.append(columns(trajectory(problem), "alpha_"))
    assert np.abs(learned[0] - learned[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("objective", "foreign"),
    [("validation", "released_inner_loss"), ("validation", "nested_loss"), ("train", "inner_loss"), ("train", "outer_loss")],
)
def test_an_objective_uses_no_loss_of_the_other(digits_problem, monkeypatch, objective, foreign):
    def refuse(*arguments):
        raise AssertionError(f"{objective} used {foreign}")

    monkeypatch.setattr(Relaxation, foreign, refuse)
    search(digits_problem(num_blocks=2), f"{TINY},objective={objective}")


# ---- stopped and started again


class Stop(Exception):
    pass


def with_dropout(site):
    """A head that draws random numbers as it trains."""
    return nn.Sequential(nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(site.shape[0], site.num_classes))


STOPPED_HEADS = ["conv(depth=1)", f"{__name__}.with_dropout"]


def stopping_at(step):
    """A report that stops the search as it reports its `step`-th step, which is done by then but not yet saved."""
    left = iter(range(step - 1))

    def report(what, done, total, **figures):
        if what.startswith("sedona") and next(left, None) is None:  # and not the trainings at its end
            raise Stop

    return report


@pytest.fixture(scope="module")
def undisturbed(problem_in, tmp_path_factory):
    """The answer and the trajectory, as it lies on disk, of a search that nothing stops."""
    problem = problem_in(tmp_path_factory.mktemp("undisturbed"), heads=STOPPED_HEADS, num_blocks=3)
    return search(problem), (problem.results.folder / "alpha_beta.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "step"),
    [
        *((-1.0, step) for step in range(1, PRETRAIN + META_STEPS + 1)),  # saved at each step
        (30.0, PRETRAIN),
        (30.0, PRETRAIN + META_STEPS),  # saved at the end of pretraining only
    ],
)
def test_a_search_stopped_at_any_moment_ends_as_if_it_had_not_been(digits_problem, undisturbed, monkeypatch, seconds, step):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", seconds)
    problem = digits_problem(heads=STOPPED_HEADS, num_blocks=3)
    with pytest.raises(Stop):
        search(problem, report=stopping_at(step))
    torch.manual_seed(step)  # nothing of the first process is left
    answer, rows = undisturbed
    assert search(problem) == answer
    assert (problem.results.folder / "alpha_beta.csv").read_bytes() == rows


def test_a_search_stopped_at_every_step_ends_as_if_it_had_not_been(digits_problem, undisturbed, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    problem, starts = digits_problem(heads=STOPPED_HEADS, num_blocks=3), 1
    while True:
        try:
            answer = search(problem, report=stopping_at(2))
            break
        except Stop:
            starts += 1
    assert starts == PRETRAIN + META_STEPS
    assert (answer, (problem.results.folder / "alpha_beta.csv").read_bytes()) == undisturbed


def test_a_finished_search_is_not_repeated(digits_problem):
    problem, steps = digits_problem(num_blocks=3), []
    first = search(problem)
    assert search(problem, report=lambda what, *_, **__: steps.append(what)) == first and {*steps} == {"trials"}


def num_held_locks(problem):
    """How many of the locks on this problem's searches and pretrainings no other process could take now."""
    locks = [RunLock(lock.with_suffix("")) for lock in problem.runs.glob("*.lock")]
    held = [lock.try_take() for lock in locks].count(False)
    for lock in locks:
        lock.release()
    return held


def test_other_processes_wait_for_the_search_to_its_end_and_for_its_pretraining_while_that_lasts(digits_problem, monkeypatch):
    problem, held, record = digits_problem(num_blocks=2), [], strategy._record

    def record_under_lock(*arguments):
        held.append(num_held_locks(problem))
        record(*arguments)

    monkeypatch.setattr(strategy, "_record", record_under_lock)
    search(problem, report=lambda *_, **__: held.append(num_held_locks(problem)))
    assert held == [2] * PRETRAIN + [1] * META_STEPS + [1] + [0, 0]  # the last two reports are of its one trial
    assert not list(problem.runs.glob("*.lock"))


@pytest.mark.parametrize(
    ("settings", "level"),
    [(f"{TINY},lr=1e30", "inner"), ("pretrain=1,meta_steps=2,inner_steps=3,lr=1e20,outer_batch=32", "outer")],
)
def test_divergence_is_told_with_what_to_do(digits_problem, settings, level):
    problem = digits_problem(num_blocks=2)
    with pytest.raises(Diverged, match=rf"{level} loss is (nan|inf).*step \d.*smaller sedona\(lr="):
        search(problem, settings)
    path = problem.results.folder / "alpha_beta.csv"
    assert not path.exists() or np.isfinite(columns(trajectory(problem), "alpha_")).all()


# ---- planted problems: one linear layer, read by the classifier, by heads that agree with it, contradict it, or see nothing


class Read(nn.Module):
    """Logits are the channels' means, times `sign`; nothing to learn."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = sign

    def forward(self, h):
        return self.sign * h.mean((2, 3))


class Blind(nn.Module):
    """A head that ignores what it is given."""

    def __init__(self, site):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(site.num_classes))

    def forward(self, h):
        return self.logits.expand(len(h), -1)


def agreeing(site):
    return Read()


def contrary(site):
    return Read(-1.0)


def one_layer(input_shape, num_classes):
    units = [nn.Conv2d(1, num_classes, 8), nn.Identity(), nn.Identity()]
    return Backbone(units, Read(), input_shape=input_shape, num_classes=num_classes)


def planted(digits_problem, *heads, seed=0, objective="validation"):
    """The last row of each gap, after a search of the one layer with these heads."""
    heads = [f"{__name__}.{head}" for head in heads]
    problem = digits_problem(objective, f"{__name__}.one_layer", heads, seed, num_blocks=2)
    search(
        problem,
        f"pretrain=10,meta_steps=25,inner_steps=3,memory=10,meta_lr=0.1,outer_batch=256,shares=independent,objective={objective}",
    )
    return trajectory(problem).tail(2)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("worse", "better"), [("Blind", "agreeing"), ("contrary", "Blind"), ("contrary", "agreeing")])
def test_beta_moves_away_from_the_head_that_does_not_help(digits_problem, worse, better, seed):
    last = planted(digits_problem, worse, better, seed=seed)
    assert (last[f"share_{__name__}.{better}"] > 0.75).all()


def test_alpha_moves_away_from_cuts_whose_only_head_misleads(digits_problem):
    """For the validation loss. The released objective holds the local loss itself, and so likes what is easy to fit."""
    assert (planted(digits_problem, "contrary")["cut_share"] < 0.1).all()
    assert (planted(digits_problem, "contrary", objective="train")["cut_share"] > 0.8).all()


def test_alpha_stays_undecided_where_cutting_changes_nothing(digits_problem):
    """A head that is the classifier gives the gradient that comes from above anyway."""
    np.testing.assert_allclose(planted(digits_problem, "agreeing")["cut_share"], 0.5, atol=0.05)
