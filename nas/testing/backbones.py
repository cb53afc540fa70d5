"""What every backbone holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from nas.testing.spec import spec_of
from spaces.activation import activation_shape, input_shape
from spaces.backbone import Backbone
from spaces.backbones import BACKBONES


class BackboneContract:
    """Units that are never split and share nothing, whose shapes are what they say; logits; a gradient for every parameter.

    backbone     the backbone: a spec with its settings, or a function or class that can be imported
    input_shape  (C, H, W), or a TextShape
    num_classes  of the logits
    """

    backbone: ClassVar[str | Callable[..., Backbone]]
    input_shape: ClassVar[tuple[int, ...]] = (3, 32, 32)
    num_classes: ClassVar[int] = 7

    @pytest.fixture
    def spec(self) -> str:
        """The backbone's name with its settings."""
        return spec_of(self.backbone)

    def build(self, spec: str) -> Backbone:
        """Freshly initialised; equal at every call."""
        torch.manual_seed(0)
        return BACKBONES.build(spec, self.input_shape, self.num_classes)

    def inputs(self) -> torch.Tensor:
        """A batch of two inputs of the shape."""
        return input_shape(self.input_shape).noise(2, torch.Generator().manual_seed(1))

    def test_there_are_units_to_cut_between(self, spec: str) -> None:
        assert len(self.build(spec).units) >= 2

    def test_shapes_are_those_of_the_activations_and_logits_come_out(self, spec: str) -> None:
        backbone, h = self.build(spec), self.inputs()
        shapes, following = [self.input_shape], None
        for unit in backbone.units:
            following = unit(h if following is None else following)
            shapes.append(activation_shape(following))
        assert tuple(shapes) == backbone.shapes
        assert backbone.classifier(following).shape == (2, self.num_classes)

    def test_inputs_are_left_as_they_were(self, spec: str) -> None:
        backbone, x = self.build(spec), self.inputs()
        before = x.clone()
        backbone(x)
        assert torch.equal(x, before)

    def test_gradients_reach_every_parameter(self, spec: str) -> None:
        backbone = self.build(spec)
        (backbone(self.inputs()) * torch.randn(2, self.num_classes)).sum().backward()
        assert [name for name, parameter in backbone.named_parameters() if parameter.grad is None] == []

    def test_units_share_nothing(self, spec: str) -> None:
        backbone, seen = self.build(spec), set[int]()
        for unit in [*backbone.units, backbone.classifier]:
            ids = {id(part) for part in (*unit.modules(), *unit.parameters(), *unit.buffers())}
            assert not ids & seen
            seen |= ids

    def test_equal_seeds_give_equal_weights(self, spec: str) -> None:
        one, other = self.build(spec).state_dict(), self.build(spec).state_dict()
        assert list(one) == list(other) and all(map(torch.equal, one.values(), other.values()))

    def test_is_written_with_its_settings(self, spec: str) -> None:
        written: Any = BACKBONES.resolve(spec)
        assert BACKBONES.resolve(str(written)) == written
