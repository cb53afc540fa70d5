"""Any `nn.Module` as a backbone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from spaces.activation import num_features
from spaces.backbone import Backbone
from spaces.traced.example_shape import examples_of, shape_of
from spaces.traced.listed import ListedPlan
from spaces.traced.plan import Plan, plan_of
from spaces.traced.tracer import on_meta


def traced_backbone(
    model: nn.Module, plan: Plan | ListedPlan, *, input_shape: tuple[Any, ...], num_classes: int, notes: tuple[str, ...] = ()
) -> Backbone:
    """An instance of a network as the plan cuts it; it shares all weights with `model`."""
    *units, classifier = plan.units_of(model)
    return Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes, width=1.0, model=model, notes=notes)


def backbone(model: nn.Module, example: Any, *, units: str | None = None) -> Backbone:
    """A network as a backbone: its units are found by tracing it, and are its own modules, under their own names.

    example  a batch as the network takes it, whose values are not used: a tensor, a tuple of arguments by position, or a dict
             of arguments by name
    units    a pattern of names such as `layers.*`, with which units end; None: they are found

    The backbone computes what the network does, to the bit, and shares its weights. A network that cannot be traced, in which
    more than one activation is alive everywhere, or whose output is no tensor is a UserError that names where.
    """
    shape = shape_of(example)
    plan = plan_of(model, examples_of(shape), units)
    return traced_backbone(model, plan, input_shape=shape, num_classes=num_features(plan.outputs) if plan.outputs else 1)


def meta_instance(model: nn.Module) -> nn.Module:
    """The network where the default device is the meta device: a copy without storage there, else itself."""
    return on_meta(model) if torch.get_default_device().type == "meta" else model
