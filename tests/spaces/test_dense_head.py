"""The head of networks whose outputs lie at every pixel or token."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.testing import HeadContract
from spaces.backbone import Backbone, Site
from spaces.heads import HEADS
from spaces.layers.layers import conv_bn_relu
from spaces.notation.errors import UserError


def fully_convolutional(input_shape: tuple[int, ...] = (3, 9, 8), num_classes: int = 5) -> Backbone:
    """Two halvings, and a classifier that gives outputs of the input's size."""
    units = [conv_bn_relu(3, 6, 3), conv_bn_relu(6, 8, 3, stride=2), conv_bn_relu(8, 8, 3, stride=2)]
    classifier = nn.Sequential(nn.Conv2d(8, num_classes, 1), nn.Upsample(size=input_shape[1:]))
    return Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes)


def site_at(gap: int) -> Site:
    backbone = fully_convolutional()
    return Site(backbone.shapes[gap], backbone.num_classes, gap, backbone)


class TestDense(HeadContract):
    head = "dense"

    @pytest.fixture(params=[1, 2, 3])
    def site(self, request: pytest.FixtureRequest) -> Site:
        return site_at(request.param)

    def test_gives_logits_and_leaves_the_activation_as_it_was(self, spec: str, site: Site) -> None:
        h = self.activations(site)
        before = h.detach().clone()
        assert self.build(spec, site)(h).shape == (3, 5, 9, 8)
        assert torch.equal(h, before)

    def test_gradients_reach_the_activation_and_every_parameter(self, spec: str, site: Site) -> None:
        head, h = self.build(spec, site), self.activations(site)
        head(h).square().sum().backward()
        assert h.grad is not None and h.grad.abs().sum() > 0
        assert all(parameter.grad is not None for parameter in head.parameters())


def test_it_is_a_convolution_and_bilinear_upsampling() -> None:
    site = site_at(2)
    head, h = HEADS.build("dense", site), torch.randn(2, *site.shape)
    expected = F.interpolate(F.conv2d(h, *head.parameters()), size=(9, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(head(h), expected)
    assert HEADS.build("dense", site)(torch.randn(1, 8, 10, 8)).shape == (1, 5, 18, 16)  # of twice the size


def test_of_tokens_it_is_a_linear_layer_each() -> None:
    backbone = Backbone([nn.Linear(4, 6), nn.Linear(6, 6)], nn.Linear(6, 3), input_shape=(7, 4), num_classes=3)
    head = HEADS.build("dense", Site((7, 6), 3, 1, backbone))
    assert head(torch.randn(2, 7, 6)).shape == (2, 7, 3)


def test_where_outputs_are_one_vector_a_sample_it_is_refused() -> None:
    backbone = Backbone([nn.Conv2d(3, 4, 3)], nn.Flatten(), input_shape=(3, 8, 8), num_classes=144)
    with pytest.raises(UserError, match=r"got outputs of \(144,\) and activations of \(4, 6, 6\); take the head linear"):
        HEADS.build("dense", Site((4, 6, 6), 144, 1, backbone))
