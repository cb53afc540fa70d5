"""What backbones of libraries and of users have in common: made on any device, fitted to the task, cut by a plan that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from spaces.backbone import Backbone
from spaces.construction import Construction
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS, said_by
from spaces.traced.adapted import with_channels, with_outputs
from spaces.traced.example_shape import examples_of
from spaces.traced.listed import ListedPlan
from spaces.traced.plan import Plan, plan_of
from spaces.traced.start_weights import load_weights, read_weights
from spaces.traced.traced_backbone import traced_backbone
from spaces.traced.tracer import on_meta

_plans: dict[
    tuple[object, ...], tuple[Plan | ListedPlan, int]
] = {}  # a search builds a space's networks by the thousand, all cut alike


def library_backbone(
    name: str,
    make: Callable[[], nn.Module],
    input_shape: tuple[Any, ...],
    num_classes: int,
    *,
    construction: Construction,
    trained: bool = False,
    weights: str | None = None,
    digest: str | None = None,
    units: str | None = None,
    settings: tuple[object, ...] = (),
) -> Backbone:
    """The network that `make` makes, on torch's default device, as a backbone.

    construction  how other programs make it, without any weights
    trained   whether `make` gives it trained weights
    weights   a file of a state dict that it starts from, with the file's `digest`
    units     a pattern of the names of the modules with which units end
    settings  what else the network depends on, so that one plan serves all that are made alike

    Its first convolution and its last layer are replaced where the task has other channels or classes, which `notes` says.
    """
    try:
        model = _made(make)
    except UserError:
        raise
    except OWN_ERRORS as error:
        raise UserError(
            f"{name} is made for inputs of {tuple(input_shape)}, which failed ({said_by(error)}); give the task another size, or "
            "take another network"
        ) from None
    notes: list[str] = []
    if weights is not None and (left := load_weights(model, read_weights(weights, digest), weights)):
        notes.append(f"{name} starts from {weights}, but for {left[0].rpartition('.')[0]}, which is new: it has other classes")
    trained = trained or weights is not None
    first = last = None
    if len(input_shape) == 3 and type(input_shape) is tuple:
        first = with_channels(model, input_shape[0], trained=trained)
        if first is not None:
            notes.append(f"the first layer of {name}, {first}, is new: the task's images have {input_shape[0]} channels")
    made_of = tuple((part, tuple(tensor.shape)) for part, tensor in model.state_dict().items())
    key = (name, input_shape, num_classes, units, made_of, *settings)
    if key not in _plans:
        _plans[key] = _plan(name, on_meta(model), input_shape, num_classes, units)
    plan, made_for = _plans[key]
    if made_for != num_classes:
        last = with_outputs(model, made_for, num_classes)
        notes.append(f"the last layer of {name}, {last}, is new: the task has {num_classes} classes, not {made_for}")
    backbone = traced_backbone(model, plan, input_shape=input_shape, num_classes=num_classes, notes=tuple(notes))
    backbone.construction = construction.with_replaced(first, last)
    return backbone


def _plan(
    name: str, on_shapes: nn.Module, input_shape: tuple[Any, ...], num_classes: int, units: str | None
) -> tuple[Plan | ListedPlan, int]:
    """The plan of a network with so many classes, and how many it was made with."""
    plan = plan_of(on_shapes, examples_of(input_shape), units)
    if len(plan.outputs) > 1:
        raise UserError(
            f"a space's networks give a number a class, outputs ('N', {num_classes}), got {('N', *plan.outputs)} from {name}; "
            "train it with nas.decouple, in a loop of your own"
        )
    made_for = plan.outputs[0] if plan.outputs else 1
    if made_for != num_classes:
        with_outputs(on_shapes, made_for, num_classes)
        plan = plan_of(on_shapes, examples_of(input_shape), units)
    return plan, made_for


def _on_meta() -> bool:
    return torch.get_default_device().type == "meta"


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` makes, on the default device; on the CPU first where it reads numbers off tensors, which have none on meta."""
    if not _on_meta():
        return make()
    try:
        return make()
    except (NotImplementedError, RuntimeError):
        with torch.device("cpu"):
            return on_meta(make())
