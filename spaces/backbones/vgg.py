"""VGG (Simonyan and Zisserman 2015) with BatchNorm, in SEDONA's form.

A unit is one 3x3 conv-BN-ReLU; a max-pool between two stages belongs to the unit after it. The channels are a quarter
of the standard ones at width=1 (SEDONA's CIFAR networks) and standard at width=4 (its Tiny-ImageNet networks). `dropout` is
the classifier's, 0.5 unless given; DGL's code has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from spaces.backbone import Backbone
from spaces.layers.layers import check_sizes, conv_bn_relu, image_shape, kaiming, scaled

CHANNELS = (16, 32, 64, 128, 128)
HIDDEN = 1024
DROPOUT = 0.5


def vgg11(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-11, 8 units, quarter width; images of at least 32 x 32."""
    return _vgg("vgg11", (1, 1, 2, 2, 2), input_shape, num_classes, width, dropout)


def vgg13(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-13, 10 units, quarter width; images of at least 32 x 32."""
    return _vgg("vgg13", (2, 2, 2, 2, 2), input_shape, num_classes, width, dropout)


def vgg16(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-16, 13 units, quarter width; images of at least 32 x 32."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), input_shape, num_classes, width, dropout)


def vgg19(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float | None = None) -> Backbone:
    """VGG-19, 16 units, quarter width; images of at least 32 x 32."""
    return _vgg("vgg19", (2, 2, 4, 4, 4), input_shape, num_classes, width, dropout)


def _vgg(
    name: str, depths: Sequence[int], input_shape: tuple[int, ...], num_classes: int, width: float, dropout: float | None
) -> Backbone:
    share = DROPOUT if dropout is None else dropout
    check_sizes(f"backbone {name}", share)
    channels, _, _ = image_shape(f"backbone {name}", input_shape, smallest=2 ** len(depths))
    stages = [(scaled(base, width), depth) for base, depth in zip(CHANNELS, depths, strict=True)]
    units = conv_units(channels, stages)
    backbone = Backbone(units, nn.Identity(), input_shape=input_shape, num_classes=num_classes, width=width)
    channels, height, columns = backbone.shapes[-1]
    hidden = scaled(HIDDEN, width)
    backbone.classifier = nn.Sequential(
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(channels * (height // 2) * (columns // 2), hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(share),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(share),
        nn.Linear(hidden, num_classes),
    )
    return kaiming(backbone)


def conv_units(channels: int, stages: Sequence[tuple[int, int]]) -> list[nn.Sequential]:
    """Units for stages of (channels, depth): 3x3 conv-BN-ReLU, with a max-pool first where a later stage begins."""
    units = []
    for stage, (outputs, depth) in enumerate(stages):
        for i in range(depth):
            pool = [nn.MaxPool2d(2)] if stage > 0 and i == 0 else []
            units.append(nn.Sequential(*pool, *conv_bn_relu(channels, outputs)))
            channels = outputs
    return units
