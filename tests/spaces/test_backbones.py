"""Backbones: published parameter counts, units and shapes, and what every entry of the table promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nas.testing import BackboneContract
from spaces.activation import TextShape
from spaces.backbone import Backbone, Site
from spaces.backbones import BACKBONES
from spaces.backbones.resnet import Residual
from spaces.heads import HEADS
from spaces.notation.errors import UserError

CIFAR, TINY, IMAGENET = (3, 32, 32), (3, 64, 64), (3, 224, 224)

# SEDONA's networks; the standard ResNets (width 4, 1000 classes); ContSup's ResNet-32 and -110
COUNTS = [
    ("vgg19", 1, CIFAR, 10, 2_446_202),
    ("vgg19", 4, TINY, 200, 46_023_304),
    ("resnet50", 1, CIFAR, 10, 1_484_186),
    ("resnet50", 4, TINY, 200, 23_917_832),
    ("resnet101", 1, CIFAR, 10, 2_680_986),
    ("resnet101", 4, TINY, 200, 42_909_960),
    ("resnet152", 1, CIFAR, 10, 3_667_354),
    ("resnet152", 4, TINY, 200, 58_553_608),
    ("resnet18", 4, IMAGENET, 1000, 11_689_512),
    ("resnet34", 4, IMAGENET, 1000, 21_797_672),
    ("resnet50", 4, IMAGENET, 1000, 25_557_032),
    ("resnet101", 4, IMAGENET, 1000, 44_549_160),
    ("resnet152", 4, IMAGENET, 1000, 60_192_808),
    ("resnet32", 1, CIFAR, 10, 466_906),
    ("resnet110", 1, CIFAR, 10, 1_730_714),
    # option A has 853,018 (the paper's 0.85 M); two 1x1 shortcuts, 16 -> 32 -> 64, with BatchNorm come on top
    ("resnet56", 1, CIFAR, 10, 853_018 + 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64),
]
NUM_UNITS = {
    "vgg11": 8,
    "vgg13": 10,
    "vgg16": 13,
    "vgg19": 16,
    "resnet18": 8,
    "resnet34": 16,
    "resnet50": 16,
    "resnet101": 33,
    "resnet152": 50,
    "resnet32": 16,
    "resnet56": 28,
    "resnet110": 55,
    "small": 6,
    "al_cnn": 8,
    "al_vgg": 6,
    "al_resnet18": 9,
    "dgl_cnn": 6,
    "vgg11b": 11,
}
FEWEST_CHANNELS = {"al_cnn": 32, "al_vgg": 128, "al_resnet18": 64, "dgl_cnn": 128, "vgg11b": 128}  # of the others 16


def build(name: str, input_shape: tuple[int, ...] = CIFAR, num_classes: int = 10, width: float = 1.0) -> Backbone:
    return BACKBONES[name](input_shape, num_classes, width=width)


def on_meta(name: str, input_shape: tuple[int, ...] = CIFAR, num_classes: int = 10, width: float = 1.0) -> Backbone:
    with torch.device("meta"):
        return build(name, input_shape, num_classes, width)


def num_params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "width", "input_shape", "num_classes", "count"), COUNTS)
def test_published_parameter_counts(name, width, input_shape, num_classes, count):
    assert num_params(on_meta(name, input_shape, num_classes, float(width))) == count


@pytest.mark.parametrize(("name", "depths"), [("vgg11", (1, 1, 2, 2, 2)), ("vgg13", (2, 2, 2, 2, 2)), ("vgg16", (2, 2, 3, 3, 3))])
@pytest.mark.parametrize(("width", "size", "classes"), [(1, 32, 10), (4, 64, 200)])
def test_vgg_parameter_counts_by_formula(name, depths, width, size, classes):
    channels = [16 * width] * depths[0] + [32 * width] * depths[1] + [64 * width] * depths[2]
    channels += [128 * width] * (depths[3] + depths[4])
    convs = sum(9 * a * b + 2 * b for a, b in zip([3, *channels], channels, strict=False))
    flat, hidden = channels[-1] * (size // 32) ** 2, 1024 * width
    linears = (flat + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * classes
    assert num_params(on_meta(name, (3, size, size), classes, float(width))) == convs + linears


@pytest.mark.parametrize(
    ("name", "channels", "pools", "linears"),
    [
        # the released lists: DGL's Net(depth=6, downsample=[1, 3]) and its MLP of two hidden layers on 2 x 2; cfg["vgg11b"]
        ("dgl_cnn", [128, 256, 256, 512, 512, 512], [1, 3], [(2048, 2048), (2048, 2048), (2048, 10)]),
        ("vgg11b", [128, 128, 128, 256, 256, 512, 512, 512, 512], [4, 6, 8, 9], [(2048, 1024), (1024, 10)]),
    ],
)
def test_layers_of_released_cifar_networks(name, channels, pools, linears):
    backbone = on_meta(name)
    layers = [[type(layer) for layer in unit.modules()] for unit in backbone.units]
    convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == channels and {conv.kernel_size for conv in convs} == {(3, 3)}
    assert [i for i, unit in enumerate(layers) if nn.MaxPool2d in unit] == pools
    assert [(m.in_features, m.out_features) for m in backbone.modules() if isinstance(m, nn.Linear)] == linears
    normed = sum(2 * c for c in channels) + sum(2 * outputs for _, outputs in linears[:-1])
    expected = sum(9 * a * b for a, b in zip([3, *channels], channels, strict=False)) + normed
    assert num_params(backbone) == expected + sum((inputs + 1) * outputs for inputs, outputs in linears)


def test_vgg_without_dropout_has_its_layers_and_drops_nothing():
    torch.manual_seed(0)
    backbone = BACKBONES.build("vgg11(dropout=0.0)", CIFAR, 10)
    assert num_params(backbone) == num_params(on_meta("vgg11"))
    h = torch.randn(2, *backbone.shapes[-1])
    assert torch.equal(backbone.classifier(h), backbone.classifier(h))
    assert not torch.equal(build("vgg11").classifier(h), build("vgg11").classifier(h))
    with pytest.raises(UserError, match=r"dropout is a share in \[0, 1\), got 1.0"):
        BACKBONES.build("vgg11(dropout=1)", CIFAR, 10)
    assert str(BACKBONES.resolve("vgg11")) == "vgg11(width=1.0)", "rows without the setting keep their name"


@pytest.mark.parametrize("name", ["resnet32", "resnet18"])
def test_weights_over_the_fan_out_are_the_released_draw(name):
    """ContSup's resnet.py: normal_(0, sqrt(2 / (k * k * out_channels))), and linear layers as PyTorch leaves them."""
    torch.manual_seed(0)
    backbone = BACKBONES.build(f"{name}(init=fan_out)", CIFAR, 10)
    site = Site(backbone.shapes[3], 10, 3, backbone)
    heads = [HEADS.build(head, site) for head in ("1c2f", "mlp_sr", "auglocal(depth=2)", "conv", "linear", "predsim")]
    for layer in [layer for part in (backbone, *heads) for layer in part.modules()]:
        if isinstance(layer, nn.Conv2d):
            released = math.sqrt(2 / (layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels))
            assert layer.weight.std().item() == pytest.approx(released, rel=5 / math.sqrt(2 * layer.weight.numel()))
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            assert all(parameter.abs().max() <= bound for parameter in layer.parameters())
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=5 / math.sqrt(2 * layer.weight.numel()))
    ours = build(name).classifier[-1].weight.std() / backbone.classifier[-1].weight.std()
    assert ours.item() == pytest.approx(math.sqrt(6), rel=0.1), "the classifier's start, 2.4 times the released"
    assert "init" not in str(BACKBONES.resolve(name)), "rows without the setting keep their name"


@pytest.mark.parametrize("name", NUM_UNITS)
def test_number_of_units(name):
    assert len(on_meta(name).units) == NUM_UNITS[name]


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        # (channels, side) after how many units, in order
        ("vgg19", [(2, 16, 32), (2, 32, 16), (4, 64, 8), (4, 128, 4), (4, 128, 2)]),
        ("resnet18", [(2, 16, 32), (2, 32, 16), (2, 64, 8), (2, 128, 4)]),
        ("resnet50", [(3, 64, 32), (4, 128, 16), (6, 256, 8), (3, 512, 4)]),
        ("resnet101", [(3, 64, 32), (4, 128, 16), (23, 256, 8), (3, 512, 4)]),
        ("resnet152", [(3, 64, 32), (8, 128, 16), (36, 256, 8), (3, 512, 4)]),
        ("resnet32", [(6, 16, 32), (5, 32, 16), (5, 64, 8)]),
        ("resnet110", [(19, 16, 32), (18, 32, 16), (18, 64, 8)]),
        ("small", [(2, 16, 32), (2, 32, 16), (2, 64, 8)]),
        ("al_cnn", [(3, 32, 32), (1, 32, 16), (3, 64, 16), (1, 64, 8)]),
        ("al_vgg", [(1, 128, 32), (2, 256, 16), (1, 512, 8), (1, 512, 4), (1, 512, 2)]),
        ("al_resnet18", [(3, 64, 32), (2, 128, 16), (2, 256, 8), (2, 512, 4)]),
    ],
)
def test_activation_shapes_on_cifar(name, maps):
    expected = [(channels, side, side) for count, channels, side in maps for _ in range(count)]
    assert list(on_meta(name).shapes[1:]) == expected


@pytest.mark.parametrize(("size", "side"), [(8, 8), (32, 32), (63, 63), (64, 32), (65, 33), (66, 17), (224, 56)])
def test_the_resnet_stem_follows_the_image(size, side):
    assert on_meta("resnet18", (3, size, size)).shapes[1][1:] == (side, side)


class TestEveryBackbone(BackboneContract):
    """On grey images that are no square."""

    input_shape = (1, 32, 40)

    @pytest.fixture(params=[f"{name}(width=0.5)" for name in NUM_UNITS])
    def spec(self, request):
        return request.param


class TestEveryTextBackbone(BackboneContract):
    input_shape = TextShape(8, 14)

    @pytest.fixture(
        params=[
            "linear(depth=3,embedding=20,hidden=16)",
            "lstm(depth=3,embedding=20,hidden=12)",
            "transformer(depth=3,embedding=22,attention_heads=4,ffn=16)",
        ]
    )
    def spec(self, request):
        return request.param


@pytest.mark.parametrize("name", NUM_UNITS)
def test_initial_weights_are_kaiming_normal_over_the_fan_in(name):
    torch.manual_seed(0)
    layers = [m for m in build(name).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    standardised = [m.weight.flatten() * math.sqrt(m.weight[0].numel() / 2) for m in layers]
    weights = torch.cat(standardised).detach()
    deviations = math.sqrt(2 / len(weights))
    assert abs(weights.std().item() - 1) < 4 * deviations
    assert abs(weights.mean().item()) < 4 * deviations
    assert (weights.abs() > 3).any(), "normal, not uniform"
    for values in standardised:
        assert abs(values.std().item() - 1) < 6 / math.sqrt(2 * len(values)), "each layer by its own fan-in"
    assert all(m.bias is None or not m.bias.any() for m in layers)


def test_a_residual_block_whose_body_is_silent_is_its_shortcut():
    torch.manual_seed(0)
    blocks = [m for m in build("resnet50").modules() if isinstance(m, Residual)]
    identities = [block for block in blocks if isinstance(block.shortcut, nn.Identity)]
    assert len(identities) == 16 - 4
    for block in identities:
        nn.init.zeros_(block.body[-1].weight)
        x = torch.randn(2, block.outputs, 4, 4)
        assert torch.equal(block(x), x.relu())


def test_the_stride_of_a_bottleneck_sits_on_its_3x3_convolution():
    strided = [
        m.kernel_size
        for block in on_meta("resnet50").modules()
        if isinstance(block, Residual)
        for m in block.body.modules()
        if isinstance(m, nn.Conv2d) and m.stride == (2, 2)
    ]
    assert strided == [(3, 3)] * 3


@pytest.mark.parametrize("size", [4, 5, 8, 28])
def test_small_takes_small_images(size):
    assert build("small", (2, size, size), 3)(torch.randn(2, 2, size, size)).shape == (2, 3)


@pytest.mark.parametrize(
    ("size", "sides"), [(17, [17, 9, 5, 5, 3, 3, 2, 2]), (28, [28, 14, 7, 7, 4, 4, 2, 2]), (63, [63, 31, 15, 15, 7, 7, 3, 3])]
)
def test_pools_of_vgg_round_up_where_nothing_would_be_left(size, sides):
    backbone = build("vgg11", (1, size, size), 10)
    assert [shape[1:] for shape in backbone.shapes[1:]] == [(side, side) for side in sides]
    assert sum(parameter.numel() for parameter in backbone.classifier.parameters()) == 128 * 1024 + 1024 * 1025 + 1024 + 10250
    assert backbone.eval()(torch.randn(2, 1, size, size)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "input_shape", "says"),
    [
        ("vgg11", (3, 16, 64), "backbone vgg11 needs at least 17 x 17 pixels, got 16 x 64"),
        ("al_vgg", (3, 16, 15), "backbone al_vgg needs at least 16 x 16 pixels, got 16 x 15"),
        ("small", (1, 3, 3), "backbone small needs at least 4 x 4 pixels, got 3 x 3"),
        ("resnet18", (3, 0, 8), "backbone resnet18 needs at least 1 x 1 pixels"),
        ("resnet32", (64,), r"backbone resnet32 takes images .* got the shape \(64,\)"),
    ],
)
def test_unfit_inputs(name, input_shape, says):
    with pytest.raises(UserError, match=says):
        build(name, input_shape)


@pytest.mark.parametrize("name", NUM_UNITS)
@pytest.mark.parametrize("width", [0.0, -1.0, 0.007, math.inf, math.nan])
def test_unfit_widths(name, width):
    with pytest.raises(UserError, match=f"from 1/{FEWEST_CHANNELS.get(name, 16)} on"):
        on_meta(name, width=width)
