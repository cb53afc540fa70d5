"""The penalty's gradient against finite differences, where it leads against trying all, and that seconds are measured once."""

from itertools import pairwise

import pandas as pd
import pytest
import torch

from methods.training import checkpoint
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.sedona import cost_penalty
from nas.strategies.sedona.block_cost import block_memory, block_time
from nas.strategies.sedona.cost_penalty import CostPenalty
from nas.strategies.sedona.decisions import discretise
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.settings import Settings

PRETRAIN, META_STEPS = 3, 3
TINY = f"pretrain={PRETRAIN},meta_steps={META_STEPS},inner_steps=2,memory=3,outer_batch=32"
HEADS = ["linear", "conv(depth=4)"]
SECONDS = {
    "units": [1.0, 7.0, 2.0, 3.0, 2.0, 5.0],
    "classifier": [0.5],
    "linear": [1.0, 1.0, 6.0, 1.0, 9.0],
    "conv(depth=4,reduction=4)": [5.0, 2.0, 2.0, 4.0, 3.0],
}


def search(problem, settings, report=silent):
    score = Score(0.5, 0.0, peak_activation_bytes=1, pipeline_speedup_bound=1.0)
    return (
        STRATEGIES.build(f"sedona({TINY},{settings})")
        .search(problem, Evaluations(when_told(lambda decoupling: score)), report)
        .decoupling
    )


def trajectory(problem):
    return (problem.results.folder / "alpha_beta.csv").read_bytes()


def make_penalty(problem, seconds=SECONDS, **weights):
    penalty = CostPenalty(Settings(**weights), problem)
    penalty.seconds = seconds
    return penalty


def random_architecture(space):
    generator = torch.Generator().manual_seed(0)
    return Architecture(
        *(torch.randn(len(space.gaps), n, generator=generator, dtype=torch.float64) for n in (2, len(space.heads)))
    )


def largest(space, decoupling, cost):
    edges, heads = (0, *decoupling.cuts, space.num_units), [*map(space.heads.index, decoupling.heads), None]
    return max(cost(*ends, head) for ends, head in zip(pairwise(edges), heads, strict=True))


COSTS = {"memory_weight": block_memory, "time_weight": lambda space: block_time(space, SECONDS)}


# ---- the penalty


@pytest.mark.parametrize(
    "weights", [{"memory_weight": 0.7}, {"time_weight": 0.3}, {"memory_weight": 0.7, "time_weight": 0.3}], ids=str
)
def test_gradients_are_those_of_central_differences(digits_problem, weights):
    problem = digits_problem(heads=HEADS, num_blocks=(2, 3))
    penalty, architecture = make_penalty(problem, **weights), random_architecture(problem.space)
    _, *gradients = penalty(architecture)
    for logits, gradient in zip((architecture.alpha, architecture.beta), gradients, strict=True):
        values = []
        for i in range(logits.numel()):
            for eps in (1e-5, -1e-5):
                logits.view(-1)[i] += eps
                values.append(penalty(architecture)[0])
                logits.view(-1)[i] -= eps
        differences = (torch.tensor(values[::2], dtype=torch.float64) - torch.tensor(values[1::2], dtype=torch.float64)) / 2e-5
        torch.testing.assert_close(gradient, differences.view_as(gradient), rtol=1e-6, atol=1e-9)
        assert gradient.abs().max() > 1e-3


@pytest.mark.parametrize("name", COSTS)
def test_a_decided_architecture_costs_its_weight_times_its_largest_block_over_the_uncut_network(digits_problem, name):
    problem = digits_problem(heads=HEADS, num_blocks=2)
    space, cost, penalty = problem.space, COSTS[name](problem.space), make_penalty(problem, **{name: 3.0})
    for point in space.enumerate():
        alpha = torch.tensor([[50.0, -50.0] if gap in point.cuts else [-50.0, 50.0] for gap in space.gaps])
        beta = torch.tensor([[100.0 * (head in point.heads) for head in space.heads]] * len(space.gaps))
        found, *_ = penalty(Architecture(alpha, beta))
        assert found == pytest.approx(3 * largest(space, point, cost) / cost(0, space.num_units, None))


@pytest.mark.parametrize("name", COSTS)
def test_adam_along_the_penalty_alone_reaches_the_cheapest_decoupling_of_all(digits_problem, name):
    problem = digits_problem(heads=HEADS, num_blocks=2)
    space, cost, penalty = problem.space, COSTS[name](problem.space), make_penalty(problem, **{name: 1.0})
    architecture = Architecture.zeros(len(space.gaps), len(space.heads))
    first = largest(space, discretise(architecture, space, 2), cost)
    optimizer = torch.optim.Adam([architecture.alpha, architecture.beta], lr=0.1)
    for _ in range(150):
        _, architecture.alpha.grad, architecture.beta.grad = penalty(architecture)
        optimizer.step()
    found = largest(space, discretise(architecture, space, 2), cost)
    assert found == min(largest(space, point, cost) for point in space.enumerate()) < first


# ---- in a search


@pytest.mark.slow
def test_a_large_weight_makes_the_answer_cheaper(digits_problem):
    space, largest_block = digits_problem(heads=HEADS, num_blocks=2).space, {}
    for weight in (0, 1000):
        found = search(digits_problem(str(weight), heads=HEADS, num_blocks=2), f"memory_weight={weight},meta_lr=0.3")
        largest_block[weight] = largest(space, found, block_memory(space))
    assert largest_block[1000] < largest_block[0]


def test_the_penalty_of_each_step_is_recorded(digits_problem):
    problem = digits_problem(gaps=[1, 2, 4], num_blocks=2)
    search(problem, "memory_weight=2.0,meta_lr=0.3")
    rows = pd.read_csv(problem.results.folder / "alpha_beta.csv")
    penalty = make_penalty(problem, memory_weight=2.0)
    before = Architecture.zeros(len(problem.space.gaps), len(problem.space.heads))
    for _, step in rows.groupby("meta_step"):
        assert step["penalty"].tolist() == pytest.approx([penalty(before)[0]] * len(step), rel=1e-6)
        before = Architecture(
            torch.tensor(step[["alpha_cut", "alpha_uncut"]].to_numpy()),
            torch.tensor(step[[f"beta_{head}" for head in problem.space.heads]].to_numpy()),
        )


def test_without_weights_nothing_is_measured_and_nothing_changes(digits_problem, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a cost was asked for")

    plain, tiny = (digits_problem(name, heads=["linear"], num_blocks=2) for name in ("plain", "tiny"))
    monkeypatch.setattr(cost_penalty, "block_seconds", lambda *arguments: SECONDS)
    search(tiny, "memory_weight=1e-30,time_weight=1e-30")
    monkeypatch.setattr(cost_penalty, "block_seconds", refuse)
    monkeypatch.setattr(cost_penalty, "block_memory", refuse)
    search(plain, "memory_weight=0,time_weight=0")
    ours, others = (pd.read_csv(problem.results.folder / "alpha_beta.csv").drop(columns="run") for problem in (plain, tiny))
    assert (ours["penalty"] == 0).all() and (others["penalty"] > 0).all()
    pd.testing.assert_frame_equal(ours.drop(columns="penalty"), others.drop(columns="penalty"), check_exact=True)


class Stop(Exception):
    pass


@pytest.mark.parametrize(("saved_every", "stop"), [(-1.0, 2), (30.0, 1), (30.0, META_STEPS)])
def test_a_search_that_goes_on_keeps_the_seconds_that_it_measured(digits_problem, monkeypatch, saved_every, stop):
    """To the bit, though no two measurements agree; also where it was stopped before its first timed save."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", saved_every)

    def measured(factor):
        times = {name: [factor**i * value for i, value in enumerate(values)] for name, values in SECONDS.items()}
        monkeypatch.setattr(cost_penalty, "block_seconds", lambda *arguments: times)

    def stopping(what, done, total, **figures):
        if done == stop and "alpha" in what:
            raise Stop

    undisturbed, stopped = (digits_problem(name, heads=["linear"], num_blocks=2) for name in ("undisturbed", "stopped"))
    measured(1.0)
    search(undisturbed, "time_weight=1.0")
    with pytest.raises(Stop):
        search(stopped, "time_weight=1.0", stopping)
    measured(2.0)
    search(stopped, "time_weight=1.0")
    assert trajectory(stopped) == trajectory(undisturbed)
