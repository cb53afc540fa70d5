"""Precision and learning rate of the training that fills the weight memory."""

import math
from dataclasses import replace

import pytest
import torch

from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.sedona import meta_learning
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.relaxed_training import RelaxedTraining
from spaces.notation.errors import UserError

TINY = "sedona(pretrain=2,meta_steps=1,inner_steps=2,memory=2,outer_batch=32)"


@pytest.mark.parametrize(("precision", "in_bfloat16"), [("bf16", True), ("fp32", False)])
def test_forward_passes_of_training_have_the_precision_asked_for_and_the_hypergradients_are_float32(
    digits_problem, monkeypatch, precision, in_bfloat16
):
    problem, training, engine, found = digits_problem(num_blocks=2, precision=precision), [], [], []
    layers, adjoint = training, meta_learning.ENGINES["adjoint"]

    def differentiated(bilevel):
        nonlocal layers
        layers = engine
        found.append(adjoint(bilevel))
        layers = training
        return found[-1]

    def seen(module, inputs, output):
        if isinstance(module, torch.nn.Conv2d) and not output.is_meta:  # shapes are found on the meta device
            layers.append((torch.is_autocast_enabled("cpu"), output.dtype))

    monkeypatch.setitem(meta_learning.ENGINES, "adjoint", differentiated)
    score = Score(0.5, 0.0, peak_activation_bytes=1, pipeline_speedup_bound=1.0)
    with torch.nn.modules.module.register_module_forward_hook(seen):
        STRATEGIES.build(TINY).search(problem, Evaluations(when_told(lambda decoupling: score)), silent)
    assert set(training) == {(in_bfloat16, torch.bfloat16 if in_bfloat16 else torch.float32)}
    assert set(engine) == {(False, torch.float32)}
    (gradient,) = found
    assert {tensor.dtype for tensor in (gradient.alpha_grad, gradient.beta_grad, gradient.outer_loss)} == {torch.float32}


def test_the_learning_rate_falls_along_a_cosine_to_a_hundredth_and_stays_there(digits_problem):
    problem = digits_problem(num_blocks=2)
    training = RelaxedTraining(problem, "validation", 0.2, 8)
    undecided = Architecture.zeros(len(problem.space.gaps), len(problem.space.heads))
    for step in (0, 2, 4, 8, 11):
        training.step(undecided, step, training.batches.batch(0, step), seed=0)
        share = 0.5 * (1 + math.cos(math.pi * min(step, 8) / 8))
        assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.002 + (0.2 - 0.002) * share)


def test_what_is_differentiated_twice_is_not_compiled(digits_problem):
    problem = digits_problem()
    with pytest.raises(UserError, match="sedona differentiates its training steps once more, which torch.compile cannot"):
        RelaxedTraining(replace(problem, settings=replace(problem.settings, compile="default")), "validation", 0.1, 10)
