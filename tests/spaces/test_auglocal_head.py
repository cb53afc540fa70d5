"""AugLocal's head: the units and depths of the released code, and shapes that chain on every backbone."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from own_networks import OWN
from torch import nn

from spaces.activation import Accompanied, TextShape, example_input
from spaces.backbone import Backbone, Site
from spaces.backbones import BACKBONES
from spaces.backbones.resnet import Residual
from spaces.heads import HEADS
from spaces.heads.auglocal import sampled_units
from spaces.layers.fresh_copy import fresh_copy
from spaces.layers.layers import kaiming
from spaces.memory.in_place import BatchNormFromShapes
from spaces.notation.errors import UserError


@cache
def backbone(name: str) -> Backbone:
    with torch.device("meta"):
        return BACKBONES.build(
            OWN if name == "module" else name, TextShape(9, 50) if name in ("linear", "lstm", "transformer") else (3, 32, 32), 10
        )


def site(name: str, gap: int) -> Site:
    return Site(backbone(name).shapes[gap], 10, gap, backbone(name))


def depths(name: str, head: str) -> list[int]:
    """How many residual blocks the head of each gap has."""
    num_units = len(backbone(name).units)
    with torch.device("meta"):
        heads = [HEADS.build(head, site(name, gap)) for gap in range(1, num_units)]
    return [sum(isinstance(layer, Residual) for layer in built) for built in heads]


def released_blocks(net_dim: list[int], last: int, depth: int) -> list[tuple[int, int, int]]:
    """(inputs, channels, stride) of the blocks of the released head, as its loop makes them one by one."""
    count = len(net_dim)
    if depth >= count - 1 - last:
        sampled = list(range(last + 1, count))
    else:
        sampled = [round(last + (count - last - 1) / depth * i) for i in range(1, depth + 1)]
    inputs, owed, blocks = net_dim[last], 0, []
    for i in sampled:
        owed += (net_dim[i] // inputs).bit_length() - 1
        stride, owed = (2, owed - 1) if owed else (1, 0)
        blocks.append((inputs, net_dim[i], stride))
        inputs = net_dim[i]
    return blocks


@pytest.mark.parametrize(
    ("name", "net_dim", "depth"),
    [
        ("resnet32", [16] * 6 + [32] * 5 + [64] * 5, 5),
        ("resnet110", [16] * 19 + [32] * 18 + [64] * 18, 6),
        ("resnet32", [16] * 6 + [32] * 5 + [64] * 5, 2),
    ],
)
def test_blocks_are_those_of_the_released_code(name, net_dim, depth):
    for gap in range(1, len(net_dim)):
        with torch.device("meta"):
            head = HEADS.build(f"auglocal(depth={depth},pyramid=0)", site(name, gap))
        convs = [layer.body[0] for layer in head if isinstance(layer, Residual)]
        found = [(conv.in_channels, conv.out_channels, conv.stride[0]) for conv in convs]
        assert found == released_blocks(net_dim, gap - 1, depth), gap


def test_the_pyramid_is_the_released_codes_for_49_blocks_of_resnet110():
    """d_l of the paper's setting d = 6, tau = 0.5, K' = 49, as the released code writes them out."""
    expected = [max(1, round(6 * (1 - i * 0.5 / 47) + i * 0.5 / 47 * 1)) for i in range(48)]
    assert depths("resnet110", "auglocal")[:48] == expected
    assert expected[0] == 6 and expected[-1] == 4


def test_no_more_units_than_there_are_and_no_less_than_one():
    assert depths("resnet32", "auglocal(depth=20,pyramid=0)") == list(range(15, 0, -1))
    assert depths("resnet32", "auglocal(depth=3,pyramid=1)")[-1] == 1


@pytest.mark.parametrize("num_units", [2, 6, 16, 55])
def test_sampled_units_lie_after_the_cut_rise_and_end_with_the_last(num_units):
    for last in range(num_units - 1):
        for depth in (1, 2, 6, 60):
            units = sampled_units(num_units, last, depth)
            assert units == sorted(set(units)) and units[0] > last and units[-1] == num_units - 1
            assert len(units) == min(depth, num_units - 1 - last)
    assert sampled_units(num_units, num_units - 1, 3) == []


@pytest.mark.parametrize("depth", [1, 2, 6])
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_shapes_chain_on_every_backbone(name, depth):
    num_units = len(backbone(name).units)
    for gap in {1, 2, num_units // 3, num_units // 2, num_units - 1, num_units}:
        place = site(name, gap)
        with torch.device("meta"), torch.no_grad(), BatchNormFromShapes():
            head, h = HEADS.build(f"auglocal(depth={depth})", place), example_input(place.backbone.input_shape, 2, "meta")
            for unit in place.backbone.units[:gap]:
                h = unit(h)
            assert head(h).shape == (2, 10)


def test_a_unit_that_changes_the_shape_stands_for_one_of_its_shape():
    with torch.device("meta"):
        head = HEADS.build("auglocal(depth=1)", site("small", 1))  # 16 channels before the cut, 64 in the last unit
    convs = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [(16, 32), (32, 64)]
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in head.modules()) == 2


def test_weights_are_its_own():
    trained = BACKBONES["small"]((3, 32, 32), 10)
    place = Site(trained.shapes[1], 10, 1, trained)
    for tensor in trained.state_dict().values():
        tensor.fill_(3)
    head = HEADS.build("auglocal(depth=5,pyramid=0)", place)
    assert all(not bool((tensor == 3).all()) for tensor in head.state_dict().values())
    head(torch.randn(4, *place.shape)).sum().backward()
    assert all(p.grad is not None for p in head.parameters())
    assert all(p.grad is None and bool((p == 3).all()) for p in trained.parameters())


@pytest.mark.parametrize("depth", [1, 2])
def test_batch_norm_before_the_linear_layer_of_a_head_of_one_unit(depth):
    with torch.device("meta"):
        head = HEADS.build(f"auglocal(depth={depth},pyramid=0)", site("resnet32", 3))
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in head) == (depth == 1)


@pytest.mark.parametrize(
    ("setting", "says"), [("depth=0", "from 1 on, got 0"), ("pyramid=1.5", r"in 0\.\.1, got 1.5"), ("pyramid=-0.5", "got -0.5")]
)
def test_unfit_settings(setting, says):
    with pytest.raises(UserError, match=says):
        HEADS.build(f"auglocal({setting})", site("small", 1))


def test_copies_of_attention_norms_and_convolutions_start_anew():
    """Every layer of a unit that no backbone of the table is made of; statistics too."""
    unit = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), nn.GroupNorm(1, 5), nn.Conv3d(2, 2, 1), nn.BatchNorm1d(5)
    )
    for tensor in unit.state_dict().values():
        tensor.fill_(3)
    copied = kaiming(fresh_copy(unit))
    assert [name for name, tensor in copied.state_dict().items() if bool((tensor == 3).all())] == []
    assert all(bool((tensor == 3).all()) for tensor in unit.state_dict().values())


class MadeMask(nn.Module):
    """Makes the mask that those after it read of the one that it is given."""

    def forward(self, h):
        return Accompanied(h.values + 1, (h.constants[0][:, None] > 0,))


class ReadsMask(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, h):
        assert h.constants[0].dtype == torch.bool, "another mask"
        return h._replace(values=self.layer(h.values))


class First(nn.Module):
    def forward(self, x):
        return Accompanied(x, (x[..., 0].long(),))


def test_a_unit_that_makes_another_mask_stands_before_those_that_read_it():
    units = [First(), MadeMask(), ReadsMask(), ReadsMask(), ReadsMask()]
    net = Backbone(units, nn.Identity(), input_shape=(3, 4), num_classes=2)
    for gap in (1, 2, 3):
        place = Site(net.shapes[gap], 2, gap, net, net.example(gap))
        head = HEADS.build("auglocal(depth=1,pyramid=0)", place)
        h = torch.randn(2, 3, 4)
        for unit in units[:gap]:
            h = unit(h)
        assert head(h).shape == (2, 2)
