"""The network of DGL's study of auxiliary networks on CIFAR-10 (Belilovsky et al. 2020)."""

from __future__ import annotations

import math

from torch import nn

from spaces.backbone import Backbone
from spaces.backbones.vgg import conv_units
from spaces.layers.layers import image_shape, kaiming, scaled

STAGES = ((128, 1), (256, 2), (512, 3))  # channels, and how many convolutions have them
FULL = 4  # times the width of SEDONA's networks, by which heads are measured
HIDDEN_LAYERS = 2


def dgl_cnn(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0) -> Backbone:
    """Six conv-BN-ReLU units of 128, 256, 256, 512, 512 and 512 channels, max-pools before the second and the fourth.

    The classifier is an MLP on a map of 2 x 2, its two hidden layers, with BatchNorm, as wide as that map. The convolutions
    have no biases, which those of the released code have before BatchNorm, without use. Images of at least 4 x 4.
    """
    channels, _, _ = image_shape("backbone dgl_cnn", input_shape, smallest=2 ** (len(STAGES) - 1))
    units = conv_units(channels, [(scaled(base, width), depth) for base, depth in STAGES])
    backbone = Backbone(units, nn.Identity(), input_shape=input_shape, num_classes=num_classes, width=FULL * width)
    channels, *sides = backbone.shapes[-1]
    pooled = [min(side, 2) for side in sides]
    features = channels * math.prod(pooled)
    hidden = [
        nn.Sequential(nn.Linear(features, features), nn.BatchNorm1d(features), nn.ReLU(inplace=True))
        for _ in range(HIDDEN_LAYERS)
    ]
    backbone.classifier = nn.Sequential(
        nn.AdaptiveAvgPool2d(tuple(pooled)), nn.Flatten(), *hidden, nn.Linear(features, num_classes)
    )
    return kaiming(backbone)
