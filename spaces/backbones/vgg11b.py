"""The larger VGG of "Training neural networks with local error signals" (Nøkland and Eidnes 2019)."""

from __future__ import annotations

import math

from torch import nn

from spaces.backbone import Backbone
from spaces.layers.layers import check_sizes, conv_bn, image_shape, kaiming, scaled

CHANNELS = (128, 128, 128, 256, 256, 512, 512, 512, 512)
POOLED = (4, 6, 8, 9)  # after so many convolutions
FULL = 4  # times the width of SEDONA's networks, by which heads are measured
HIDDEN = 1024


def vgg11b(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, dropout: float = 0.2) -> Backbone:
    """VGG-11b, nine 3x3 convolutions and a fully connected layer, each with BatchNorm and LeakyReLU; the output layer.

    11 units. `dropout`, of whole channels after a convolution, and the max-pools belong to the unit after, so that losses see
    maps without either, as released; the last unit is the dropout after the fully connected layer, so that with it a block
    can hold the output layer alone. `width` multiplies the convolutions' channels (vgg11b x 2, x 3). The convolutions have no
    biases, which the released ones have before BatchNorm, without use. Images of at least 16 x 16.
    """
    channels, *sides = image_shape("backbone vgg11b", input_shape, smallest=2 ** len(POOLED))
    check_sizes("backbone vgg11b", dropout)
    units: list[nn.Module] = []
    for i, base in enumerate(CHANNELS):
        outputs = scaled(base, width)
        units.append(nn.Sequential(*_handed_on(i, dropout), *conv_bn(channels, outputs), nn.LeakyReLU(inplace=True)))
        channels = outputs
    features = channels * math.prod(side // 2 ** len(POOLED) for side in sides)
    units.append(
        nn.Sequential(
            *_handed_on(len(CHANNELS), dropout),
            nn.Flatten(),
            nn.Linear(features, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.LeakyReLU(inplace=True),
        )
    )
    units.append(nn.Dropout(dropout))
    return kaiming(
        Backbone(units, nn.Linear(HIDDEN, num_classes), input_shape=input_shape, num_classes=num_classes, width=FULL * width)
    )


def _handed_on(convolutions: int, dropout: float) -> list[nn.Module]:
    """What stands between so many convolutions and the next layer."""
    pool = [nn.MaxPool2d(2)] if convolutions in POOLED else []
    return [nn.Dropout2d(dropout), *pool] if convolutions else []
