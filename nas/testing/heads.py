"""What every head holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from nas.testing.spec import spec_of
from spaces.backbone import Backbone, Site
from spaces.backbones import BACKBONES
from spaces.heads import HEADS

NUM_CLASSES = 5
SHAPES = [(16, 32, 32), (128, 2, 2), (3, 1, 1), (2, 7, 7), (12, 5, 3)]


@cache
def small() -> Backbone:
    """The backbone that heads are put onto."""
    torch.manual_seed(0)
    return BACKBONES.build("small", (3, 32, 32), NUM_CLASSES)


class HeadContract:
    """Logits from activations of any size, which are left as they were; a gradient for the activation and every parameter.

    head    the head: a spec with its settings, or a function or class that can be imported
    unused  names of parameters that logits do not depend on
    """

    head: ClassVar[str | Callable[..., nn.Module]]
    unused: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture(params=SHAPES, ids=str)
    def site(self, request: pytest.FixtureRequest) -> Site:
        """Where the head sits; overridden where only some shapes are taken."""
        return Site(request.param, NUM_CLASSES, 1, small())

    @pytest.fixture
    def spec(self) -> str:
        """The head's name with its settings."""
        return spec_of(self.head)

    def build(self, spec: str, site: Site) -> nn.Module:
        """The head at its site; equal at every call."""
        torch.manual_seed(0)
        return HEADS.build(spec, site)

    def activations(self, site: Site) -> torch.Tensor:
        """Three at the site, that ask for a gradient."""
        return torch.randn(3, *site.shape, generator=torch.Generator().manual_seed(1)).requires_grad_()

    def test_gives_logits_and_leaves_the_activation_as_it_was(self, spec: str, site: Site) -> None:
        h = self.activations(site)
        before = h.detach().clone()
        assert self.build(spec, site)(h).shape == (3, NUM_CLASSES)
        assert torch.equal(h, before), "a head must leave the activation as it was"

    def test_gradients_reach_the_activation_and_every_parameter(self, spec: str, site: Site) -> None:
        head, h = self.build(spec, site), self.activations(site)
        (head(h) * torch.randn(3, NUM_CLASSES)).sum().backward()
        assert h.grad is not None and h.grad.abs().sum() > 0
        without = [name for name, parameter in head.named_parameters() if parameter.grad is None]
        assert without == [*self.unused]

    def test_a_single_input_is_answered_alone(self, spec: str, site: Site) -> None:
        head = self.build(spec, site).eval()
        h = self.activations(site)
        with torch.no_grad():
            torch.testing.assert_close(head(h)[:1], head(h[:1]))

    def test_equal_seeds_give_equal_weights(self, spec: str, site: Site) -> None:
        one, other = self.build(spec, site).state_dict(), self.build(spec, site).state_dict()
        assert list(one) == list(other) and all(map(torch.equal, one.values(), other.values()))

    def test_is_written_with_its_settings(self, spec: str) -> None:
        written: Any = HEADS.resolve(spec)
        assert HEADS.resolve(str(written)) == written
