"""Sampled gaps and heads: over all samples of every step, the mean of the estimates is the exact gradient."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from nas.strategies.sedona.sampling import Sampling
from spaces.backbone import Backbone

NUM_HEADS, NUM_CLASSES = 3, 3


class Scripted:
    """Draws what it is told."""

    def __init__(self, samples):
        self.samples = list(samples)

    def draw(self):
        return self.samples.pop()


@pytest.fixture(autouse=True)
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_problem(num_gaps, objective, num_steps=2):
    torch.manual_seed(1)
    units = [nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.2), nn.Softplus()) for _ in range(num_gaps + 1)]
    backbone = Backbone(units, nn.Linear(3, NUM_CLASSES), input_shape=(3,), num_classes=NUM_CLASSES)
    heads = [
        [nn.Sequential(nn.Linear(3, 4 + d), nn.Tanh(), nn.Linear(4 + d, NUM_CLASSES)) for d in range(NUM_HEADS)]
        for _ in range(num_gaps)
    ]
    relaxation = Relaxation(backbone, range(1, num_gaps + 1), heads)
    optimizer = torch.optim.SGD(relaxation.parameters(), lr=0.3, momentum=0.9, weight_decay=0.01)
    architecture = Architecture(torch.randn(num_gaps, 2), torch.randn(num_gaps, NUM_HEADS))
    *inner, outer = [(torch.randn(5, 3), torch.randint(NUM_CLASSES, (5,))) for _ in range(num_steps + 1 + (objective == "train"))]
    return Bilevel(relaxation, optimizer, architecture, inner, outer, objective)


def gradient_of(problem, engine):
    torch.manual_seed(7)
    found = ENGINES[engine](problem)
    return torch.cat([found.alpha_grad.flatten(), found.beta_grad.flatten()])


@pytest.mark.parametrize("engine", ["adjoint", "identity"])
@pytest.mark.parametrize(
    ("num_gaps", "gaps", "heads", "objective"),
    [
        (3, 2, None, "validation"),
        (1, None, 2, "validation"),
        (2, 1, 2, "validation"),
        (2, 1, None, "train"),
        (1, None, 2, "train"),
    ],
)
def test_the_mean_over_all_samples_is_the_exact_gradient(num_gaps, gaps, heads, engine, objective):
    problem = make_problem(num_gaps, objective)
    exact = gradient_of(problem, engine)
    every = Sampling(num_gaps, NUM_HEADS, gaps, heads).every()
    estimates = torch.stack(
        [gradient_of(replace(problem, sampling=Scripted(samples)), engine) for samples in product(every, repeat=2)]
    )
    torch.testing.assert_close(estimates.mean(0), exact, rtol=1e-9, atol=1e-12)
    assert (estimates - exact).norm(dim=1).min() > 1e-3 * exact.norm(), "no single sample is exact"


def test_every_sample_is_drawn_as_often_as_any_other():
    sampling = Sampling(3, 3, 2, 2, torch.Generator().manual_seed(0))
    every = sampling.every()
    drawn = [sampling.draw() for _ in range(100 * len(every))]
    assert set(drawn) == set(every)
    counts = torch.tensor([drawn.count(sample) for sample in every], dtype=torch.float)
    assert ((counts - 100) ** 2 / 100).sum() < 60  # chi square, 26 degrees of freedom


def test_all_gaps_and_heads_are_the_exact_loss():
    problem = make_problem(2, "validation")
    (all_of_them,) = Sampling(2, NUM_HEADS, None, None).every()
    sampled = gradient_of(replace(problem, sampling=Scripted([all_of_them] * 2)), "adjoint")
    torch.testing.assert_close(sampled, gradient_of(problem, "adjoint"))


def test_gaps_that_are_not_drawn_cost_nothing(monkeypatch):
    """Their heads do not run where a step is differentiated."""
    problem = make_problem(3, "validation")
    calls = []
    for j, heads in enumerate(problem.relaxation.heads):
        heads[0].register_forward_hook(lambda *_, j=j: calls.append(j))
    sample = Sampling(3, NUM_HEADS, 1, None).every()[1]
    gradient_of(replace(problem, sampling=Scripted([sample] * 2)), "adjoint")
    assert calls == [0, 1, 2, 0, 1, 2, 1, 1]
