"""A search space over one network that is there already."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from spaces.activation import num_features
from spaces.backbone import Backbone
from spaces.notation.component import Component
from spaces.space import SearchSpace
from spaces.traced.example_shape import examples_of, shape_of
from spaces.traced.listed import ListedPlan
from spaces.traced.plan import Plan, plan_of
from spaces.traced.traced_backbone import meta_instance, traced_backbone


class ModelSpace(SearchSpace):
    """The decouplings of `model`, whose very modules the networks that it builds consist of; heads are new.

    example      a batch as the model takes it, whose values are not used: a tensor, a tuple or a dict of tensors
    units        a pattern of the modules with which units end, such as `layers.*`; None: they are found
    num_classes  how many numbers a head gives; None: as many as the model
    """

    def __init__(
        self,
        model: nn.Module,
        example: Any,
        *,
        heads: Sequence[str] = ("linear",),
        num_classes: int | None = None,
        units: str | None = None,
        num_blocks: int | tuple[int, int] | None = None,
        gaps: Sequence[int] | None = None,
        min_block: int = 1,
        plan: Plan | ListedPlan | None = None,
    ) -> None:
        self.model, self._example, self._units = model, example, units
        shape = shape_of(example)
        self.plan = plan or plan_of(model, examples_of(shape), units)
        super().__init__(
            type(model).__name__,
            heads,
            input_shape=shape,
            num_classes=num_features(self.plan.outputs) if num_classes is None and self.plan.outputs else num_classes or 1,
            num_blocks=num_blocks,
            gaps=gaps,
            min_block=min_block,
        )

    @cached_property
    def template(self) -> Backbone:
        """The model's shapes, without storage."""
        with torch.device("meta"):
            return self.build_backbone()

    def build_backbone(self) -> Backbone:
        """The model itself as a backbone; where the default device is the meta device, its shapes."""
        made = traced_backbone(meta_instance(self.model), self.plan, input_shape=self.input_shape, num_classes=self.num_classes)
        made.name = str(self.backbone)
        return made

    def another(self) -> SearchSpace:
        """The same for a copy of the model with weights of its own, drawn as its modules draw them."""
        model = copy.deepcopy(self.model)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        return self._changed(model=model)

    def _resolved(self, backbone: str) -> Component:
        return Component(backbone)

    def _changed(self, **changes: Any) -> SearchSpace:
        settings: dict[str, Any] = {
            "num_classes": self.num_classes,
            "num_blocks": self._num_blocks,
            "gaps": self.gaps,
            "min_block": self.min_block,
        }
        settings |= changes
        settings.pop("vectors", None)
        model = settings.pop("model", self.model)
        return ModelSpace(model, self._example, heads=self.heads, units=self._units, plan=self.plan, **settings)
