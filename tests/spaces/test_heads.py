"""Heads: the parameter counts of SEDONA's code, and what every entry of the table promises."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from nas.testing import HeadContract
from spaces.activation import Accompanied
from spaces.backbone import Backbone, Site
from spaces.backbones import BACKBONES
from spaces.heads import HEADS, NO_HEAD
from spaces.heads.conv import InvertedResidual
from spaces.notation.component import Component
from spaces.notation.errors import UserError

# gaps of VGG-19 and ResNet-50 at width 1 on CIFAR: (C, side), conv at depth 1..4, mlp_sr, predsim
CIFAR_COUNTS = [
    ("vgg19", (1, 2), (16, 32), [8318, 8662, 10066, 10678], 14378, 7434),
    ("vgg19", (3, 4), (32, 16), [10610, 11554, 14682, 16482], 54858, 14346),
    ("vgg19", (5, 6, 7, 8), (64, 8), [15578, 18490, 26026, 31930], 214154, 41994),
    ("vgg19", (9, 10, 11, 12), (128, 4), [27050, 36970, 57162, 78186], 101514, 152586),
    ("vgg19", (13, 14, 15), (128, 2), [27050, 36970, 46890, 56810], 101514, 152586),
    ("resnet50", (1, 2, 3), (64, 32), [15578, 18490, 26026, 31930], 214154, 41994),
    ("resnet50", (4, 5, 6, 7), (128, 16), [27050, 36970, 57162, 78186], 846090, 152586),
    ("resnet50", (8, 9, 10, 11, 12, 13), (256, 8), [56138, 92362, 153226, 232138], 3363338, 594954),
    ("resnet50", (14, 15), (512, 4), [138890, 276874, 480522, 785802], 1585674, 2364426),
]
SHAPES = [(16, 32, 32), (128, 2, 2), (3, 1, 1), (2, 7, 7), (12, 5, 3), (8, 1, 16), (600, 3, 3), (17, 12), (2, 5), (1, 8)]


@cache
def backbone(name: str = "vgg19", size: int = 32, num_classes: int = 10, width: float = 1.0) -> Backbone:
    with torch.device("meta"):
        return BACKBONES[name]((3, size, size), num_classes, width=width)


def site_of(gap: int, *args) -> Site:
    net = backbone(*args)
    return Site(net.shapes[gap], net.num_classes, gap, net)


def site_with(shape: tuple[int, ...], num_classes: int = 5) -> Site:
    return Site(shape, num_classes, 1, backbone())


def num_params(head: str, site: Site) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in HEADS.build(head, site).parameters())


def convolutions(head: str, shape: tuple[int, ...]) -> list[nn.Conv2d]:
    return [module for module in HEADS.build(head, site_with(shape)).modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(("name", "gaps", "shape", "conv", "mlp_sr", "predsim"), CIFAR_COUNTS)
def test_counts_on_cifar(name, gaps, shape, conv, mlp_sr, predsim):
    for gap in gaps:
        site = site_of(gap, name)
        assert site.shape == (shape[0], shape[1], shape[1])
        assert [num_params(f"conv(depth={depth})", site) for depth in (1, 2, 3, 4)] == conv
        assert num_params("mlp_sr", site) == mlp_sr
        assert num_params("predsim", site) == predsim
        assert num_params("linear", site) == 10 * shape[0] + 10


@pytest.mark.parametrize(
    ("name", "millions"), [("vgg19", "1.85"), ("resnet50", "7.64"), ("resnet101", "16.7"), ("resnet152", "24.5")]
)
def test_all_heads_of_a_search_on_cifar(name, millions):
    counts = {}
    for shape in set(backbone(name).shapes[1:-1]):
        site = Site(shape, 10, 1, backbone(name))
        counts[shape] = sum(num_params(f"conv(depth={depth})", site) for depth in (1, 2, 3, 4))
    total = sum(counts[shape] for shape in backbone(name).shapes[1:-1])
    assert f"{total / 1e6:.{len(millions.partition('.')[2])}f}" == millions


@pytest.mark.parametrize(
    ("gap", "shape", "conv", "mlp_sr"),
    [
        (4, (512, 28, 28), ["2.38", "2.52", "2.82", "3.13"], "15.4"),
        (8, (1024, 14, 14), ["2.84", "3.38", "4.31", "5.51"], "57.6"),
        (31, (2048, 7, 7), [], "222"),
    ],
)
def test_counts_on_imagenet(gap, shape, conv, mlp_sr):
    site = site_of(gap, "resnet101", 224, 1000, 4.0)
    assert site.shape == shape
    assert [f"{num_params(f'conv(depth={i + 1})', site) / 1e6:.2f}" for i in range(len(conv))] == conv
    decimals = len(mlp_sr.partition(".")[2])
    assert f"{num_params('mlp_sr', site) / 1e6:.{decimals}f}" == mlp_sr


def test_counts_without_reduction():
    """ResNet-18 and -34 as released: p = C, no expansion, and the second inverted residual widens to 2 p."""
    c, f = 16, 512
    site = site_of(1, "resnet18")
    assert site.shape == (c, 32, 32)
    separable = (c * c + 2 * c) + (9 * c + 2 * c)
    depth_3 = separable + (9 * c + 2 * c + c * c + 2 * c) + (9 * c + 2 * c + c * 2 * c + 4 * c)
    counts = [num_params(f"conv(depth={depth},reduction=1)", site) for depth in (1, 3)]
    assert counts == [separable + c * f + 2 * f + 10 * f + 10, depth_3 + 2 * c * f + 2 * f + 10 * f + 10]


class TestEveryHead(HeadContract):
    """Those that take any map and any tokens; `auglocal` copies units behind its site, so it has sites of its own."""

    @pytest.fixture(
        params=[*sorted({*HEADS} - {"auglocal", "predsim", "dense", NO_HEAD}), "conv(depth=4)", "conv(depth=4,reduction=1)"]
    )
    def spec(self, request):
        return request.param

    @pytest.fixture(params=SHAPES, ids=str)
    def site(self, request):
        return site_with(request.param)


class TestPredSim(HeadContract):
    head, unused = "predsim", ("projection.weight",)

    @pytest.fixture(params=SHAPES, ids=str)
    def site(self, request):
        return site_with(request.param)


class TestAugLocal(HeadContract):
    head = "auglocal(depth=2)"

    @pytest.fixture(params=[1, 3, 5])
    def site(self, request):
        net = BACKBONES.build("small", (3, 32, 32), 5)
        return Site(net.shapes[request.param], 5, request.param, net)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_is_the_number_of_depthwise_convolutions(depth):
    convs = convolutions(f"conv(depth={depth})", (16, 8, 8))
    assert [m.stride[0] for m in convs if m.groups > 1] == [2, 1, 2, 1][:depth]


def test_conv_keeps_size_and_width_where_the_map_is_small():
    convs = convolutions("conv(depth=4)", (16, 2, 2))
    assert [m.stride[0] for m in convs if m.groups > 1] == [2, 1, 1, 1]
    assert {m.out_channels for m in convs} == {4, 16, 512}


@pytest.mark.parametrize(("outputs", "stride", "skips"), [(6, 1, True), (8, 1, False), (6, 2, False)])
def test_an_inverted_residual_whose_body_is_silent_is_its_input_or_nothing(outputs, stride, skips):
    block = InvertedResidual(6, outputs, stride, expansion=4)
    nn.init.zeros_(block.body[-1].weight)
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(block(x), x if skips else torch.zeros(2, outputs, 8 // stride, 8 // stride))


@pytest.mark.parametrize(("gap", "planes", "stride"), [(1, (16, 32), 2), (6, (16, 32), 2), (7, (32, 64), 2), (12, (64, 64), 1)])
def test_infopros_heads_are_the_released_ones_on_cifar_resnets(gap, planes, stride):
    site, (inputs, outputs) = site_of(gap, "resnet32"), planes
    conv = 9 * inputs * outputs + 2 * outputs
    linear = outputs * 128 + 128 + 128 * 10 + 10
    assert num_params("0c1f", site) == inputs * 10 + 10
    assert num_params("1c2f", site) == conv + linear
    assert num_params("2c2f", site) == conv + (9 * outputs * outputs + 2 * outputs) + linear
    assert num_params("1c2f(width=2)", site) == 2 * conv + (2 * outputs) * 256 + 256 + 256 * 10 + 10
    assert [m.stride[0] for m in HEADS.build("2c2f", site).modules() if isinstance(m, nn.Conv2d)] == [stride, 1]


def test_infopros_heads_widen_until_the_backbones_end():
    for gap, (channels, *_) in enumerate(backbone().shapes[1:-1], 1):
        (conv,) = (m for m in HEADS.build("1c2f", site_of(gap)).modules() if isinstance(m, nn.Conv2d))
        assert (conv.out_channels, conv.stride[0]) == ((128, 1) if channels == 128 else (2 * channels, 2))


@pytest.mark.parametrize("name", ["0c1f", "1c2f", "2c2f"])
def test_an_embedding_replaces_the_logits(name):
    h = torch.randn(3, 16, 8, 8)
    assert HEADS.build(f"{name}(feature_dim=7,embedding=True)", site_with((16, 8, 8)))(h).shape == (3, 7)
    with pytest.raises(UserError, match=f"feature_dim of head {name} .* got 0"):
        HEADS.build(f"{name}(feature_dim=0)", site_with((16, 8, 8)))


def test_mlp_sr_sees_quarter_resolution():
    torch.manual_seed(0)
    head = HEADS.build("mlp_sr", site_with((4, 32, 32)))
    h = torch.randn(3, 4, 32, 32)

    def blurred(window: int) -> torch.Tensor:
        return nn.functional.avg_pool2d(h, window).repeat_interleave(window, 2).repeat_interleave(window, 3)

    torch.testing.assert_close(head(h), head(blurred(4)), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(head(h), head(blurred(8)), rtol=1e-1, atol=1e-1)


def test_mlp_sr_of_dgls_resnet152_sees_a_map_of_2_x_2():
    """At a pool of 2 only the means of the quarters count; a quarter of 14 x 14 is 4 x 4, which has more."""
    torch.manual_seed(0)
    site = site_with((6, 14, 14))
    h, other = torch.randn(2, 3, 6, 14, 14)
    quarters = nn.functional.adaptive_avg_pool2d
    other = other + nn.functional.interpolate(quarters(h, 2) - quarters(other, 2), scale_factor=7)
    pooled, plain = HEADS.build("mlp_sr(pool=2)", site).eval(), HEADS.build("mlp_sr", site).eval()
    torch.testing.assert_close(pooled(h), pooled(other))
    assert not torch.allclose(plain(h), plain(other))
    with pytest.raises(UserError, match="pool is the side in pixels"):
        HEADS.build("mlp_sr(pool=0)", site)


def test_predsim_pools_by_turns_and_averages_all_pixels():
    torch.manual_seed(0)
    head = HEADS.build("predsim", site_with((16, 32, 32)))
    h = torch.randn(2, 16, 32, 32)
    pooled = h.reshape(2, 16, 4, 8, 8, 4).mean(dim=(3, 5))  # 16 x 4 x 8 = 512 features: height is halved first
    linear = next(m for m in head.modules() if isinstance(m, nn.Linear))
    torch.testing.assert_close(head(h), linear(pooled.flatten(1)))


def test_predsim_leaves_no_pixel_out_of_odd_maps():
    head = HEADS.build("predsim", site_with((600, 3, 3)))
    h = torch.randn(2, 600, 3, 3)
    linear = next(m for m in head.modules() if isinstance(m, nn.Linear))
    torch.testing.assert_close(head(h), linear(h.mean(dim=(2, 3))))


def test_predsim_similarity_is_a_linear_map_of_the_activations_shape():
    torch.manual_seed(0)
    head = HEADS.build("predsim", site_with((6, 4, 5)))
    a, b = torch.randn(2, 2, 6, 4, 5)
    assert head.similarity(a).shape == a.shape
    combined = 2 * head.similarity(a) - head.similarity(b)
    torch.testing.assert_close(head.similarity(2 * a - b), combined, rtol=1e-4, atol=1e-5)


def test_linear_sees_only_the_mean_of_each_channel():
    torch.manual_seed(0)
    head = HEADS.build("linear", site_with((6, 4, 4)))
    h = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(head(h), head(h.mean(dim=(2, 3), keepdim=True).expand_as(h)))


@pytest.mark.parametrize("depth", [0, 5, -1])
def test_unfit_depths(depth):
    with pytest.raises(UserError, match=rf"lies in 1\.\.4, got {depth}"):
        HEADS.build(Component("conv", (("depth", depth),)), site_with((16, 8, 8)))


def test_unfit_reduction():
    with pytest.raises(UserError, match="reduction, a number from 1 on, got 0"):
        HEADS.build("conv(reduction=0)", site_with((16, 8, 8)))


@pytest.mark.parametrize("spec", ["conv", "1c2f", "2c2f"])
def test_unfit_shapes(spec):
    with pytest.raises(UserError, match=rf"head {spec} takes images or maps .* got the shape \(64,\); .* head linear"):
        HEADS.build(spec, site_with((64,)))


@pytest.mark.parametrize("spec", ["conv(depth=4)", "1c2f", "2c2f"])
def test_tokens_are_convolved_with_their_neighbours_as_a_map_of_one_row(spec):
    """As many convolutions as on a map, those of 3x3 are 1x3; and the order of tokens matters, where a mean's would not."""
    of_map, of_tokens = (convolutions(spec, shape) for shape in ((16, 8, 8), (9, 16)))
    assert [conv.out_channels for conv in of_tokens] == [conv.out_channels for conv in of_map]
    assert [conv.kernel_size for conv in of_tokens] == [(1, conv.kernel_size[1]) for conv in of_map]
    torch.manual_seed(0)
    head, h = HEADS.build(spec, site_with((9, 16))).eval(), torch.randn(2, 9, 16)
    assert not torch.allclose(head(h), head(h[:, torch.randperm(9)]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spec", ["conv", "1c2f", "mlp_sr", "predsim", "mlp", "linear"])
@pytest.mark.parametrize("shape", [(6, 4, 4), (9, 6)])
def test_a_head_reads_an_activation_and_not_what_stands_beside_it(spec, shape):
    beside = Accompanied(torch.randn(2, *shape), (torch.ones(2, 9),))
    heads = []
    for example in (None, beside):
        torch.manual_seed(0)
        heads.append(HEADS.build(spec, replace(site_with(shape), example=example)).eval())
    assert torch.equal(heads[0](beside.values), heads[1](beside))


def test_the_parameters_of_a_perceptron():
    for shape, features in (((6, 4, 4), 6), ((9, 6), 6), ((6,), 6)):
        assert num_params("mlp(depth=1,width=7)", site_with(shape)) == (features + 1) * 7 + 8 * 5
        assert num_params("mlp(depth=3,width=7)", site_with(shape)) == (features + 1) * 7 + 2 * 8 * 7 + 8 * 5
    for setting in ("depth=0", "width=0"):
        with pytest.raises(UserError, match="from 1 on, got 0"):
            HEADS.build(f"mlp({setting})", site_with((6,)))
