"""ResNet (He et al. 2016) with four stages, in SEDONA's form.

A unit is one residual block; the stem is in the first. The channels are a quarter of the standard ones at width=1
(SEDONA's CIFAR networks) and standard at width=4 (its Tiny-ImageNet and ImageNet networks, which have the standard
parameter counts). The stem depends on the shorter side of the image: a 3x3 convolution under 64 pixels, else a 7x7
convolution of stride 2, followed by a 3x3 max-pool of stride 2 where more than 32 pixels are left. `init=fan_out` draws
weights, those of heads too, as the ImageNet code of DGL and AugLocal does: convolutions over the fan-out, linear layers
at PyTorch's default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from spaces.backbone import Backbone
from spaces.layers.layers import Init, conv_bn, conv_bn_relu, draw_of, image_shape, pooled_linear, scaled

CHANNELS = (16, 32, 64, 128)


class Residual(nn.Module):
    """relu(body(x) + shortcut(x)); the shortcut is x itself, or a 1x1 conv-BN where the shape changes."""

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else conv_bn(inputs, outputs, 1, stride)
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def basic(inputs: int, channels: int, stride: int) -> Residual:
    """Two 3x3 convolutions, the first with the stride."""
    body = nn.Sequential(*conv_bn_relu(inputs, channels, 3, stride), *conv_bn(channels, channels))
    return Residual(body, inputs, channels, stride)


def bottleneck(inputs: int, channels: int, stride: int) -> Residual:
    """1x1, 3x3 and 1x1 convolution, the last to 4 * channels; the stride sits on the 3x3 ("v1.5", as SEDONA has it)."""
    outputs = 4 * channels
    body = nn.Sequential(
        *conv_bn_relu(inputs, channels, 1), *conv_bn_relu(channels, channels, 3, stride), *conv_bn(channels, outputs, 1)
    )
    return Residual(body, inputs, outputs, stride)


BlockFactory = Callable[[int, int, int], Residual]


def residual_units(block: BlockFactory, inputs: int, stages: Sequence[tuple[int, int]]) -> list[Residual]:
    """The blocks of stages of (channels, depth); the first block of every stage but the first has stride 2."""
    units: list[Residual] = []
    for stage, (channels, depth) in enumerate(stages):
        for i in range(depth):
            units.append(block(inputs, channels, 2 if stage > 0 and i == 0 else 1))
            inputs = units[-1].outputs
    return units


def resnet18(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-18, 8 basic blocks, quarter width."""
    return _resnet("resnet18", basic, (2, 2, 2, 2), input_shape, num_classes, width, init)


def resnet34(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-34, 16 basic blocks, quarter width."""
    return _resnet("resnet34", basic, (3, 4, 6, 3), input_shape, num_classes, width, init)


def resnet50(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-50, 16 bottleneck blocks, quarter width."""
    return _resnet("resnet50", bottleneck, (3, 4, 6, 3), input_shape, num_classes, width, init)


def resnet101(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-101, 33 bottleneck blocks, quarter width."""
    return _resnet("resnet101", bottleneck, (3, 4, 23, 3), input_shape, num_classes, width, init)


def resnet152(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-152, 50 bottleneck blocks, quarter width."""
    return _resnet("resnet152", bottleneck, (3, 8, 36, 3), input_shape, num_classes, width, init)


def _resnet(
    name: str,
    block: BlockFactory,
    depths: Sequence[int],
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float,
    init: Init,
) -> Backbone:
    channels, height, columns = image_shape(f"backbone {name}", input_shape)
    stages = [(scaled(base, width), depth) for base, depth in zip(CHANNELS, depths, strict=True)]
    stem = _stem(channels, stages[0][0], min(height, columns))
    blocks = residual_units(block, stages[0][0], stages)
    classifier = pooled_linear(blocks[-1].outputs, num_classes)
    units = [nn.Sequential(*stem, blocks[0]), *blocks[1:]]
    draw = draw_of(init)
    return draw(Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes, width=width, draw=draw))


def _stem(inputs: int, channels: int, size: int) -> nn.Sequential:
    if size < 64:
        return conv_bn_relu(inputs, channels)
    pool = [nn.MaxPool2d(3, stride=2, padding=1)] if size // 2 > 32 else []
    return nn.Sequential(*conv_bn_relu(inputs, channels, 7, stride=2), *pool)
