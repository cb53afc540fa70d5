"""Decoupling a module of the user's in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from methods.method import Method, traits_of
from methods.table import METHODS
from methods.traits import Traits
from nas.own_loop.checks import check_heads, check_loss, check_outputs, check_trains_the_model
from nas.own_loop.decoupled import Decoupled
from nas.own_loop.optimizers import OptimizerFactory
from spaces.decoupling import Decoupling
from spaces.heads import HEADS, NO_HEAD
from spaces.model_space import ModelSpace
from spaces.network import DecoupledNet
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling

DENSE = "dense"


def decouple(
    model: nn.Module,
    decoupling: str | Decoupling,
    *,
    example: torch.Tensor | tuple[Any, ...] | Mapping[str, Any],
    method: str = "dgl",
    head: str | None = None,
    optimizer: OptimizerFactory | None = None,
    loss: Callable[[torch.Tensor, Any], torch.Tensor] | None = None,
    num_classes: int | None = None,
    checkpoint_units: bool = False,
    units: str | None = None,
) -> Decoupled:
    """The model cut into blocks that learn from losses of their own, to be trained in one's own loop.

    The model is trained in place: it stays as it is, and its state dict has the trained weights under its own names. What is
    new is a head a cut.

    decoupling        a rule such as balanced(4), or cuts and heads, 6:conv 13:mlp_sr
    example           a batch as the model takes it: a tensor, a tuple of positional or a dict of keyword arguments
    method            a learning rule with its settings: dgl, predsim, infopro(...), man(base=dgl)
    head              what sits at cuts for which the decoupling names none; None: the method's own, or `dense` where the
                      model gives outputs at every pixel or token
    optimizer         parameters -> torch.optim.Optimizer, called once a block; or given to `Decoupled.optimizers` later
    loss              (outputs, y) -> scalar in the place of cross-entropy, for every head as for the model's own outputs
    num_classes       how many outputs a sample, or a pixel, has; read off the model where it is None
    checkpoint_units  keep only what units are given, and compute the rest again in the backward pass
    units             where units end that cannot be found: a pattern of names such as `encoder.layer.*`

    A setting that does not hold, or has no effect, is a UserError.
    """
    bound = METHODS.bind(method)
    known = traits_of(bound)
    check_loss(loss, known, method)
    space = ModelSpace(model, example, heads=(head or "linear",), units=units)
    check_outputs(space.template.output_shape, num_classes, loss)
    asked = read_decoupling(str(decoupling), space, head or _default_head(known, space))
    point = known.adapt(asked)
    if head is not None and point.cuts and HEADS.resolve(head).name not in map(_name, point.heads):
        raise UserError(
            f"head is for cuts where decoupling and method name none, got head={head} where {' '.join(point.heads)} are named; "
            "leave it out"
        )
    net = space.build(point, checkpoint_units=checkpoint_units, head_lookahead=known.head_lookahead)
    if known.has_exit_logits:
        check_heads(net, point, space, known.head_lookahead)
    net.loss = loss
    built = bound.build(net)
    check_trains_the_model(built, known.name)
    _like_the_model(built, model)
    _leave_the_space(built)
    return Decoupled(model, built, point, optimizer=optimizer, has_exit_logits=known.has_exit_logits)


def _default_head(known: Traits, space: ModelSpace) -> str | None:
    """The method's, but that outputs at every pixel or token come from the head `dense`."""
    if known.default_head in (None, NO_HEAD) or len(space.template.output_shape) == 1:
        return known.default_head
    return DENSE


def _name(head: str) -> str:
    return Component.parse(head).name


def _leave_the_space(method: Method) -> None:
    """Forget how networks are drawn anew, which is for methods while they are built: it holds the space, which no pickle takes,
    and with it the example."""
    for module in method.modules():
        if isinstance(module, DecoupledNet):
            module.draw_another = None


def _like_the_model(method: Method, model: nn.Module) -> None:
    """Bring what is new to the device and the precision of the model's parameters, where they have one; the model's own tensors
    stay as they are."""
    models_own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    devices = {parameter.device for parameter in model.parameters()}
    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in models_own:
            return tensor
        device = next(iter(devices)) if len(devices) == 1 else tensor.device
        return tensor.to(device, next(iter(types)) if len(types) == 1 and tensor.is_floating_point() else tensor.dtype)

    for module in method.modules():
        module._apply(moved, recurse=False)
