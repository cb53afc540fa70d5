"""One optimizer a block, from a factory of the user's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from methods.method import Method
from spaces.notation.errors import UserError

OptimizerFactory = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def check_factory(factory: OptimizerFactory | None) -> None:
    """A UserError unless the factory can be called."""
    if factory is not None and not callable(factory):
        raise UserError(
            f"optimizer is a function that is given a block's parameters, got a {type(factory).__name__}; "
            "give lambda parameters: torch.optim.SGD(parameters, lr=0.1)"
        )


def optimizers_of(method: Method, factory: OptimizerFactory | None) -> list[torch.optim.Optimizer]:
    """What the factory makes for each stage. No factory, a stage without parameters to train, or what is no optimizer, is a
    UserError."""
    if factory is None:
        raise UserError(
            "each block has an optimizer of its own, got no factory of them; give "
            "optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1), to nas.decouple or to optimizers()"
        )
    made = []
    for k in range(method.num_stages):
        parameters = method.stage_parameters(k)
        if not parameters:
            raise UserError(
                f"each block has parameters that are trained, got none that requires gradients in block {k} and its head; "
                "cut elsewhere, or set requires_grad"
            )
        made.append(factory(parameters))
        if not isinstance(made[-1], torch.optim.Optimizer):
            raise UserError(f"a factory of optimizers gives a torch.optim.Optimizer, got a {type(made[-1]).__name__}; return one")
    return made
