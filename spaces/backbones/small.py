"""A small convolutional network for small images: to try things out, and for tests."""

from __future__ import annotations

from spaces.backbone import Backbone
from spaces.backbones.vgg import conv_units
from spaces.layers.layers import image_shape, kaiming, pooled_linear, scaled

CHANNELS = (16, 32, 64)


def small(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0) -> Backbone:
    """Six conv-BN-ReLU units in three stages, for images of at least 4 x 4."""
    channels, _, _ = image_shape("backbone small", input_shape, smallest=2 ** (len(CHANNELS) - 1))
    stages = [(scaled(base, width), 2) for base in CHANNELS]
    classifier = pooled_linear(stages[-1][0], num_classes)
    backbone = Backbone(conv_units(channels, stages), classifier, input_shape=input_shape, num_classes=num_classes, width=width)
    return kaiming(backbone)
