"""VGG (Simonyan and Zisserman 2015) with BatchNorm, in SEDONA's form.

A unit is one 3x3 conv-BN-ReLU; a max-pool between two stages belongs to the unit after it. The channels are a quarter
of the standard ones at width=1 (SEDONA's CIFAR networks) and standard at width=4 (its Tiny-ImageNet networks). `dropout` is
the classifier's, 0.5 unless given; DGL's code has none. Five max-pools leave nothing of an image under 32 x 32, such as
MNIST's 28 x 28; there they round sides up (28, 14, 7, 4, 2, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from spaces.backbone import Backbone
from spaces.layers.layers import check_sizes, conv_bn_relu, image_shape, kaiming, scaled

CHANNELS = (16, 32, 64, 128, 128)
HIDDEN = 1024
DROPOUT = 0.5


def vgg11(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-11, 8 units, quarter width; images of at least 17 x 17."""
    return _vgg("vgg11", (1, 1, 2, 2, 2), input_shape, num_classes, width, dropout)


def vgg13(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-13, 10 units, quarter width; images of at least 17 x 17."""
    return _vgg("vgg13", (2, 2, 2, 2, 2), input_shape, num_classes, width, dropout)


def vgg16(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-16, 13 units, quarter width; images of at least 17 x 17."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), input_shape, num_classes, width, dropout)


def vgg19(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-19, 16 units, quarter width; images of at least 17 x 17."""
    return _vgg("vgg19", (2, 2, 4, 4, 4), input_shape, num_classes, width, dropout)


def _vgg(
    name: str, depths: Sequence[int], input_shape: tuple[int, ...], num_classes: int, width: float, dropout: float | None
) -> Backbone:
    share = DROPOUT if dropout is None else dropout
    check_sizes(f"backbone {name}", share)
    channels, *sides = image_shape(f"backbone {name}", input_shape, smallest=2 ** (len(depths) - 1) + 1)
    rounds_up = min(sides) < 2 ** len(depths)
    stages = [(scaled(base, width), depth) for base, depth in zip(CHANNELS, depths, strict=True)]
    units = conv_units(channels, stages, rounds_up=rounds_up)
    backbone = Backbone(units, nn.Identity(), input_shape=input_shape, num_classes=num_classes, width=width)
    channels, *last = backbone.shapes[-1]
    height, columns = (math.ceil(side / 2) if rounds_up else side // 2 for side in last)
    hidden = scaled(HIDDEN, width)
    backbone.classifier = nn.Sequential(
        nn.MaxPool2d(2, ceil_mode=rounds_up),
        nn.Flatten(),
        nn.Linear(channels * height * columns, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(share),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(share),
        nn.Linear(hidden, num_classes),
    )
    return kaiming(backbone)


def conv_units(channels: int, stages: Sequence[tuple[int, int]], *, rounds_up: bool = False) -> list[nn.Sequential]:
    """Units for stages of (channels, depth): 3x3 conv-BN-ReLU, with a max-pool first where a later stage begins, which rounds
    odd sides up or down."""
    units = []
    for stage, (outputs, depth) in enumerate(stages):
        for i in range(depth):
            pool = [nn.MaxPool2d(2, ceil_mode=rounds_up)] if stage > 0 and i == 0 else []
            units.append(nn.Sequential(*pool, *conv_bn_relu(channels, outputs)))
            channels = outputs
    return units
