"""Replaced convolutions and BatchNorm against torch's own: values, first and second derivatives, forward mode."""

import itertools
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad, gradgradcheck
from torch.nn import functional as F

from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from nas.strategies.sedona.second_order import SecondOrder, twice_differentiable
from spaces.backbone import Backbone
from spaces.notation.errors import UserError

PLAIN_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
GEOMETRIES = [
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 2},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
]
SIZES = [(5, 4), (5, 4, 3), (5, 4, 3, 2), (5, 4, 2, 3, 2)]  # of what BatchNorm is given


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def conv_inputs(spatial, channels=4, groups=1, unbatched=False):
    x = torch.randn(*([] if unbatched else [3]), channels, *(7, 6, 5)[:spatial])
    return [x, torch.randn(2 * groups, channels // groups, *(3, 2, 2)[:spatial]), torch.randn(2 * groups)]


def norm_inputs(size):
    return [torch.randn(size), torch.rand(size[1]) + 0.5, torch.randn(size[1])]


def batch_norm(x, weight, bias, **settings):
    return F.batch_norm(x, None, None, weight, bias, **{"training": True} | settings)


def derivatives(function, inputs, needed, mode):
    """The value; its gradients; and the derivatives of all of these along one direction, the given gradient's included."""
    inputs = [t.detach().clone().requires_grad_(need) for t, need in zip(inputs, needed, strict=True)]
    wanted, draw = [t for t in inputs if t.requires_grad], torch.Generator().manual_seed(1)
    with mode:
        y = function(*inputs)
        given = torch.randn(y.shape, generator=draw).requires_grad_()
        first = torch.autograd.grad(y.tanh(), wanted, given, create_graph=True)
        along = [torch.randn(t.shape, generator=draw) for t in first]
        second = torch.autograd.grad(first, [*wanted, given], along)
    return [y.detach(), *(t.detach() for t in first), *second]


def check(function, inputs, needed=None):
    needed = needed or [True] * len(inputs)
    plain, ours = (derivatives(function, inputs, needed, mode) for mode in (nullcontext(), SecondOrder()))
    assert all(t.abs().max() > 1e-3 for t in plain[1:])
    for result, reference in zip(ours, plain, strict=True):
        torch.testing.assert_close(result, reference, rtol=1e-12, atol=1e-13 * (1 + float(reference.abs().max())))


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("settings", GEOMETRIES, ids=str)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolutions(spatial, settings, groups):
    x, weight, bias = conv_inputs(spatial, groups=groups)
    check(lambda x, w, b: PLAIN_CONV[spatial](x, w, b, groups=groups, **settings), [x, weight, bias])
    check(lambda x, w: PLAIN_CONV[spatial](x, w, groups=groups, **settings), [x, weight])


def test_a_convolution_with_a_tuple_a_side():
    check(lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 2), (1, 3), 2), conv_inputs(2, groups=2))
    check(lambda x, w: F.conv1d(x, w, None, (2,), (1,), (2,)), conv_inputs(1)[:2])


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_a_convolution_of_one_image_without_a_batch(spatial):
    check(PLAIN_CONV[spatial], conv_inputs(spatial, unbatched=True))


def test_arguments_by_name():
    check(lambda x, w, b: F.conv2d(input=x, weight=w, bias=b, padding=1), conv_inputs(2))
    check(
        lambda x, w, b: F.batch_norm(input=x, running_mean=None, running_var=None, weight=w, bias=b, training=True),
        norm_inputs(SIZES[2]),
    )


@pytest.mark.parametrize("size", SIZES, ids=len)
@pytest.mark.parametrize("settings", [{}, {"eps": 0.1}], ids=str)
def test_batch_norm(size, settings):
    check(lambda *inputs: batch_norm(*inputs, **settings), norm_inputs(size))


@pytest.mark.parametrize(("size", "layout"), [(SIZES[2], torch.channels_last), (SIZES[3], torch.channels_last_3d)])
def test_batch_norm_of_maps_with_channels_last(size, layout):
    check(lambda x, w, b: batch_norm(x.contiguous(memory_format=layout), w, b), norm_inputs(size))
    check(lambda x, w, b: batch_norm(x.transpose(2, -1), w, b), norm_inputs(size))


@pytest.mark.parametrize("size", SIZES, ids=len)
def test_batch_norm_without_weights_or_by_running_statistics(size):
    inputs = norm_inputs(size)
    check(lambda x: batch_norm(x, None, None), inputs[:1])
    mean, variance = torch.randn(size[1]), torch.rand(size[1]) + 0.5
    check(lambda x, w, b: F.batch_norm(x, mean, variance, w, b, training=False), inputs)


@pytest.mark.parametrize("needed", [n for n in itertools.product([True, False], repeat=3) if any(n)], ids=str)
def test_only_some_inputs_require_gradients(needed):
    check(lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2), conv_inputs(2, groups=2), needed)
    check(batch_norm, norm_inputs(SIZES[2]), needed)


@pytest.mark.parametrize("moved", [m for m in itertools.product([True, False], repeat=3) if any(m)], ids=str)
@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x, w, b: F.conv2d(x, w, b, (2, 1), 1, 1, 2), lambda: conv_inputs(2, groups=2)),
        (lambda x, w, b: F.conv1d(x, w, b, padding="same"), lambda: conv_inputs(1)),
        *((batch_norm, lambda size=size: norm_inputs(size)) for size in SIZES),
        (lambda x, w, b: batch_norm(x.contiguous(memory_format=torch.channels_last), w, b), lambda: norm_inputs(SIZES[2])),
    ],
)
def test_forward_mode(function, inputs, moved):
    inputs = inputs()
    directions = [torch.randn_like(t) for t in inputs]

    def tangent(mode):
        with torch.no_grad(), mode, forward_ad.dual_level():
            duals = [forward_ad.make_dual(t, d) if m else t for t, d, m in zip(inputs, directions, moved, strict=True)]
            return forward_ad.unpack_dual(function(*duals)).tangent

    torch.testing.assert_close(tangent(SecondOrder()), tangent(nullcontext()), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2), lambda: conv_inputs(2, groups=2)),
        (batch_norm, lambda: norm_inputs(SIZES[2])),
    ],
)
def test_second_derivatives_against_differences_of_the_first(function, inputs):
    with SecondOrder():
        assert gradgradcheck(function, [t.requires_grad_() for t in inputs()])


@pytest.mark.parametrize(
    ("function", "inputs"),
    [(lambda x, w: F.conv2d(x, w), lambda: conv_inputs(2)[:2]), (batch_norm, lambda: norm_inputs(SIZES[2]))],
)
def test_what_runs_inside_is_replaced_by_what_has_no_third_derivative(function, inputs):
    x, *rest = (t.requires_grad_() for t in inputs())
    with SecondOrder():
        (first,) = torch.autograd.grad(function(x, *rest).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_running_statistics_stay_as_they_are():
    norm = torch.nn.BatchNorm2d(4)
    with SecondOrder():
        norm(torch.randn(SIZES[2]))
    torch.testing.assert_close(norm.running_mean, torch.zeros(4), rtol=0, atol=0)
    torch.testing.assert_close(norm.running_var, torch.ones(4), rtol=0, atol=0)


class Distances(nn.Module):
    """Of which torch has no second derivative."""

    def forward(self, x):
        return torch.cdist(x, torch.eye(3, device=x.device, dtype=x.dtype))


@pytest.mark.parametrize("engine", ["adjoint", "identity", "unroll"])
def test_hardsigmoid_is_differentiated_twice_and_what_cannot_be_is_named(engine):
    x, y = torch.randn(4, 3), torch.arange(4) % 2

    def gradient(layer):
        units = [nn.Sequential(nn.Linear(3, 3), layer), nn.Linear(3, 3)]
        backbone = Backbone(units, nn.Linear(3, 2), input_shape=(3,), num_classes=2)
        relaxation = Relaxation(backbone, [1], [[nn.Linear(3, 2)]])
        optimizer = torch.optim.SGD(relaxation.parameters(), 0.1)
        return ENGINES[engine](Bilevel(relaxation, optimizer, Architecture.zeros(1, 1), [(x, y)] * 2, (x, y))).alpha_grad

    assert gradient(nn.Hardsigmoid()).isfinite().all() and gradient(nn.Hardsigmoid()).any()
    with pytest.raises(UserError, match="got a network with .*cdist.*, of which torch has no such derivative"):
        gradient(Distances())


def test_a_composed_hardsigmoid_is_torchs():
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    with twice_differentiable(nn.Identity()):
        composed = F.hardsigmoid(x)
    torch.testing.assert_close(composed, F.hardsigmoid(x))
