"""Optimizers and learning-rate schedules by name; the one place where an optimizer is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from spaces.notation.errors import UserError
from spaces.notation.table import Table

Schedule = Callable[[float], float]  # progress in 0..1 -> factor of the learning rate
OF_TRAINING = "0.1 means the first tenth of training"
_ROUNDING = 1e-6  # of progress times the number of steps, a fraction of an iteration


def sgd(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, *, momentum: float = 0.9, nesterov: bool = False
) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum.

    momentum  the share of the last step that is kept
    nesterov  look ahead along it
    """
    _check_share("momentum", momentum, "0.9 keeps nine tenths of the last step")
    if nesterov and not momentum:
        raise UserError("nesterov looks ahead along the momentum, got momentum=0; try momentum=0.9")
    optimizer = torch.optim.SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)
    if momentum:  # else a first step that loss scaling skips leaves torch's fused kernel with uninitialised momentum
        for parameter in optimizer.param_groups[0]["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adam(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, *, beta1: float = 0.9, beta2: float = 0.999
) -> torch.optim.Optimizer:
    """Adam; weight decay enters the gradient.

    beta1  the share of the mean gradient that is kept
    beta2  the share of the mean of squares that is kept
    """
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        _check_share(name, beta, "0.9 averages over about ten steps")
    return torch.optim.Adam(parameters, lr, (beta1, beta2), weight_decay=weight_decay, fused=True)


def load_optimizer(own: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Take over what `state_dict` of an optimizer like `own`, which has made no step, gave; what is of another raises."""
    groups, saved_groups = ([{**group, "lr": 0.0} for group in state["param_groups"]] for state in (own.state_dict(), saved))
    if groups != saved_groups:
        raise ValueError("settings of another optimizer")
    shapes = {parameter: {name: tensor.shape for name, tensor in state.items()} for parameter, state in own.state.items()}
    own.load_state_dict(dict(saved))
    for parameter in [parameter for group in own.param_groups for parameter in group["params"]]:
        wanted, came = shapes.get(parameter, {}), {name: held.shape for name, held in own.state[parameter].items()}
        if isinstance(own, torch.optim.Adam) and came:
            wanted = {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        if (wanted or isinstance(own, torch.optim.Adam | torch.optim.SGD)) and wanted != came:
            raise ValueError("the state of other parameters")


def cosine(*, warmup: float = 0.0, final: float = 0.01) -> Schedule:
    """Linear warm-up over the share `warmup` of training, then a half cosine down to `final` times the learning rate.

    final  times the learning rate, in the end
    """
    _check_share("warmup", warmup, OF_TRAINING)
    _check_factor("final", final)

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        falling = (progress - warmup) / (1 - warmup)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * falling))

    return factor


def warmed_cosine(*, warmup: float = 0.1, start: float = 0.0, steps: int | None = None) -> Schedule:
    """A half cosine over all of training, to 0, times a line that rises from `start` to 1 over the share `warmup`.

    With w = min(1, progress / warmup) the factor is w (1 + cos(pi progress)) / 2 + (1 - w) start: the cosine falls while the
    rate warms up, where that of `cosine` begins after it. With `steps` the rate changes only so often: in step e = 1.. it is
    that of a cosine at e / steps and of a line at (e - 1) / steps. InfoPro, ContSup, AugLocal and MAN step at each epoch, with
    start = 0.01 / lr.

    start  times the learning rate, where the line begins
    steps  how often the rate changes, such as the number of epochs; None for every iteration
    """
    _check_share("warmup", warmup, OF_TRAINING)
    _check_factor("start", start)
    if not warmup:
        raise UserError("warmed_cosine warms up over the share warmup of training, got 0; take cosine(final=0.0)")
    if steps is not None and steps < 1:
        raise UserError(f"steps is how often the rate changes, such as the number of epochs, got {steps}")

    def factor(progress: float) -> float:
        step = progress if steps is None else math.ceil(progress * steps - _ROUNDING) / steps
        warmed = min(1.0, (step if steps is None else step - 1 / steps) / warmup)
        return warmed * 0.5 * (1 + math.cos(math.pi * step)) + (1 - warmed) * start

    return factor


def multistep(*, milestones: tuple[float, ...] = (0.5, 0.75), gamma: float = 0.1, warmup: float = 0.0) -> Schedule:
    """Times `gamma` at each milestone, given as a share of training; linear warm-up before.

    milestones  shares of training
    gamma       the factor at each
    """
    _check_share("warmup", warmup, OF_TRAINING)
    for milestone in milestones:
        _check_share("milestone", milestone, OF_TRAINING)
    _check_factor("gamma", gamma)

    def factor(progress: float) -> float:
        drops = sum(progress >= milestone for milestone in milestones)
        return gamma**drops * (progress / warmup if progress < warmup else 1.0)

    return factor


def _check_share(name: str, value: float, hint: str) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{name} is a share in [0, 1), got {value}; {hint}")


def _check_factor(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise UserError(f"{name} multiplies the learning rate, so it is a number from 0 on, got {value}; try 0.1")


OPTIMIZERS: Table[torch.optim.Optimizer] = Table("optimizer", {"sgd": sgd, "adam": adam}, makes=torch.optim.Optimizer)
SCHEDULES: Table[Schedule] = Table(
    "schedule", {"cosine": cosine, "warmed_cosine": warmed_cosine, "multistep": multistep}, makes=Callable
)
