"""Schedules against torch's own schedulers, optimizers against torch's plain ones, and the messages for wrong values."""

import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from methods.dgl import DGL
from methods.training.optimization import OPTIMIZERS, SCHEDULES
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from spaces.network import Block, DecoupledNet
from spaces.notation.errors import UserError

STEPS = 20
CPU = torch.device("cpu")


def factors(spec: str) -> list[float]:
    """The factor of each of STEPS iterations, as the training loop asks for it."""
    schedule = SCHEDULES.build(spec)
    return [schedule((step + 1) / STEPS) for step in range(STEPS)]


def torch_factors(*schedulers: tuple[type[lr_scheduler.LRScheduler], dict]) -> list[float]:
    """The product of torch's schedulers after 1..STEPS steps of a learning rate of 1."""
    rows: list[list[float]] = []
    for kind, settings in schedulers:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
        scheduler = kind(optimizer, **settings)
        rows.append([])
        for _ in range(STEPS):
            optimizer.step()
            scheduler.step()
            rows[-1].append(optimizer.param_groups[0]["lr"])
    return [float(torch.tensor(column, dtype=torch.float64).prod()) for column in zip(*rows, strict=True)]


def test_cosine_is_torchs_cosine() -> None:
    expected = torch_factors((lr_scheduler.CosineAnnealingLR, {"T_max": STEPS, "eta_min": 0.05}))
    assert factors("cosine(final=0.05)") == pytest.approx(expected, rel=1e-6)


def test_multistep_is_torchs_multistep() -> None:
    expected = torch_factors((lr_scheduler.MultiStepLR, {"milestones": [5, 15], "gamma": 0.3}))
    assert factors("multistep(milestones=[0.25,0.75],gamma=0.3)") == pytest.approx(expected, rel=1e-6)


def test_warm_up_is_torchs_linear_warm_up() -> None:
    warm_up = (lr_scheduler.LinearLR, {"start_factor": 1e-9, "total_iters": 5})
    drops = (lr_scheduler.MultiStepLR, {"milestones": [10], "gamma": 0.1})
    assert factors("multistep(milestones=[0.5],warmup=0.25)") == pytest.approx(torch_factors(warm_up, drops), rel=1e-6)


def test_cosine_falls_from_the_end_of_its_warm_up() -> None:
    half = torch_factors((lr_scheduler.CosineAnnealingLR, {"T_max": STEPS // 2, "eta_min": 0.01}))
    found = factors("cosine(warmup=0.5)")
    assert found[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert found[10:] == pytest.approx(half[:10], rel=1e-6)


def released(epoch: int, epochs: int, warmup: int, lr: float) -> float:
    """The learning rate of an epoch, from 1 on, as InfoPro's and ContSup's train.py write it."""
    falling = 0.5 * lr * (1 + math.cos(math.pi * epoch / epochs))
    return falling * (epoch - 1) / warmup + 0.01 * (warmup + 1 - epoch) / warmup if epoch <= warmup else falling


@pytest.mark.parametrize(
    ("epochs", "lr", "spec"),
    [
        (160, 0.8, "warmed_cosine(warmup=0.0625,start=0.0125,steps=160)"),
        (160, 0.1, "warmed_cosine(warmup=0.0625,start=0.1,steps=160)"),
        (400, 0.8, "warmed_cosine(warmup=0.025,start=0.0125,steps=400)"),
    ],
)
@pytest.mark.parametrize("batches", [1, 3, 43])
def test_a_warmed_cosine_by_epochs_is_the_released_loop(epochs: int, lr: float, spec: str, batches: int) -> None:
    schedule = SCHEDULES.build(spec)
    found = [lr * schedule((i + 1) / (epochs * batches)) for i in range(epochs * batches)]
    loop = [released(epoch, epochs, 10, lr) for epoch in range(1, epochs + 1) for _ in range(batches)]
    assert found == pytest.approx(loop, abs=1e-12)


def test_a_warmed_cosine_follows_the_whole_of_training_between_steps_too() -> None:
    half = torch_factors((lr_scheduler.CosineAnnealingLR, {"T_max": STEPS}))
    rising = [min(1.0, (step + 1) / 8) for step in range(STEPS)]
    expected = [w * cosine + (1 - w) * 0.2 for w, cosine in zip(rising, half, strict=True)]
    assert factors("warmed_cosine(warmup=0.4,start=0.2)") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "spec",
    ["cosine", "cosine(warmup=0.3)", "warmed_cosine", "warmed_cosine(start=0.1,steps=5)", "multistep", "multistep(warmup=0.3)"],
)
def test_the_first_step_learns_and_none_exceeds_the_learning_rate(spec: str) -> None:
    assert factors(spec)[0] > 0 and max(factors(spec)) <= 1


class Slope(DGL):
    """A stage whose loss falls by 1 where its weight does, so a step of SGD moves the weight by the learning rate."""

    def stage(self, k, carry, y):  # type: ignore[no-untyped-def]
        return carry, self.net.heads[k].weight.sum()


@pytest.mark.parametrize("spec", ["cosine(warmup=0.2)", "multistep(milestones=[0.3,0.6])"])
def test_every_stage_steps_by_the_scheduled_learning_rate(spec: str) -> None:
    heads = [nn.Linear(1, 1, bias=False).double() for _ in range(2)]
    method = Slope(DecoupledNet([Block([nn.Identity()]) for _ in heads], heads, shapes=[], num_classes=2))
    settings = TrainingSettings(iterations=STEPS, lr=0.3, weight_decay=0, optimizer="sgd(momentum=0)", schedule=spec)
    trainer = Trainer(method, settings, seed=0, device=CPU)
    moved: list[list[float]] = [[], []]
    for step in range(STEPS):
        before = [head.weight.item() for head in heads]
        trainer.step(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long), step)
        for k, head in enumerate(heads):
            moved[k].append(before[k] - head.weight.item())
    expected = [0.3 * factor for factor in factors(spec)]
    assert moved[0] == pytest.approx(expected, rel=1e-6) and moved[1] == pytest.approx(expected, rel=1e-6)


PLAIN = {
    "sgd(momentum=0.9)": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "sgd(momentum=0)": lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01),
    "sgd(momentum=0.8,nesterov=True)": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, weight_decay=0.01, nesterov=True),
    "adam(beta1=0.8,beta2=0.99)": lambda p: torch.optim.Adam(p, 0.1, betas=(0.8, 0.99), weight_decay=0.01),
}


@pytest.mark.parametrize("spec", PLAIN)
def test_optimizers_are_torchs_plain_ones(spec: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    other = copy.deepcopy(network)
    optimizers = OPTIMIZERS.build(spec, network.parameters(), 0.1, 0.01), PLAIN[spec](other.parameters())
    for _ in range(6):
        x = torch.randn(7, 5, dtype=torch.float64)
        for module, optimizer in zip((network, other), optimizers, strict=True):
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(network.state_dict(), other.state_dict(), rtol=1e-10, atol=1e-12)


def test_every_optimizer_is_held_to_torchs() -> None:
    assert {spec.partition("(")[0] for spec in PLAIN} == set(OPTIMIZERS)


@pytest.mark.parametrize("spec", PLAIN)
def test_a_first_step_that_loss_scaling_skips_leaves_no_trace(spec: str) -> None:
    """torch's fused SGD kept uninitialised memory as its momentum then."""
    weights = [nn.Parameter(torch.ones(1000)) for _ in range(2)]
    optimizers = [OPTIMIZERS.build(spec, [weight], 0.1, 0.01) for weight in weights]
    scalers = [torch.amp.GradScaler("cpu") for _ in weights]
    litter = [torch.full((1000,), float("nan")) for _ in range(50)]
    del litter  # freed memory full of NaN, which the next allocation is likely to get
    for step in range(3):
        for i, (weight, optimizer, scaler) in enumerate(zip(weights, optimizers, scalers, strict=True)):
            skipped = i == 0 and step == 0
            if step == 0 and not skipped:
                continue
            scaler.scale(weight.sum() * (float("inf") if skipped else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    torch.testing.assert_close(weights[0], weights[1])
    assert (weights[0] < 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "sdg"}, "unknown optimizer 'sdg'; did you mean sgd"),
        ({"optimizer": "sgd(momentun=0.9)"}, "did you mean momentum"),
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"schedule": "cosine(warmup=1.0)"}, "warmup is a share in [0, 1), got 1.0; 0.1 means the first tenth of training"),
        ({"schedule": "cosine(final=-1)"}, "final multiplies the learning rate"),
        ({"schedule": "warmed_cosine(warmup=0)"}, "got 0; take cosine(final=0.0)"),
        ({"schedule": "warmed_cosine(warmup=1.0)"}, "warmup is a share in [0, 1), got 1.0"),
        ({"schedule": "warmed_cosine(start=-1)"}, "start multiplies the learning rate"),
        ({"schedule": "warmed_cosine(steps=0)"}, "steps is how often the rate changes"),
        ({"schedule": "multistep(milestones=[0.5,1.5])"}, "milestone is a share in [0, 1), got 1.5"),
        ({"schedule": "multistep(milestones=0.5)"}, "milestones must be"),
        ({"schedule": "multistep(gamma=-0.1)"}, "gamma multiplies"),
        ({"lr": 0.0}, "lr is a number above 0"),
        ({"lr": float("nan")}, "lr is a number above 0"),
        ({"weight_decay": -1.0}, "weight_decay one from 0 on"),
        ({"iterations": 0}, "iterations is a whole number from 1 on, got 0"),
        ({"batch_size": 1}, "batch_size is a whole number from 2 on, got 1"),
        ({"precision": "fp61"}, "did you mean fp16"),
        ({"compile": "yes"}, "unknown compile 'yes'"),
    ],
)
def test_wrong_settings_are_user_errors(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        TrainingSettings(**settings)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sgd(momentum=-1)", "momentum is a share in [0, 1), got -1.0"),
        ("sgd(momentum=1)", "momentum is a share in [0, 1), got 1.0"),
        ("sgd(momentum=0,nesterov=True)", "nesterov looks ahead along the momentum, got momentum=0"),
        ("adam(beta1=1.5)", "beta1 is a share in [0, 1), got 1.5"),
        ("adam(beta2=-0.5)", "beta2 is a share in [0, 1), got -0.5"),
    ],
)
def test_wrong_optimizers_are_user_errors(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        OPTIMIZERS.build(spec, [nn.Parameter(torch.zeros(1))], 0.1, 0.0)


def test_settings_are_stored_with_their_defaults_and_read_back() -> None:
    settings = TrainingSettings(optimizer="adam", schedule="multistep(gamma=0.2)")
    assert settings.optimizer == "adam(beta1=0.9,beta2=0.999)"
    assert settings.schedule == "multistep(milestones=[0.5,0.75],gamma=0.2,warmup=0.0)"
    assert TrainingSettings(optimizer=settings.optimizer, schedule=settings.schedule) == settings
