"""ResNet for CIFAR (He et al. 2016, section 4.2) with three stages, in the form that InfoPro and ContSup cut.

The stem is a unit of its own, each basic block another. Where the shape changes, the shortcut is a 1x1 conv-BN
(option B): that form has the parameter counts of ContSup's ResNet-32 and ResNet-110 (466,906 and 1,730,714), while the
paper's CIFAR networks have option A, padding without parameters (464,154 and 1,727,962). Weights are drawn over
the fan-in, as in the ResNet paper; with `init=fan_out` they, and those of heads, decoders and contexts, are drawn as in
the code of InfoPro, ContSup, AugLocal and MAN: convolutions over the fan-out, linear layers at PyTorch's default, whose
standard deviation is 1 / sqrt(6) of the other: the classifier starts 2.4 times smaller.
"""

from __future__ import annotations

from spaces.backbone import Backbone
from spaces.backbones.resnet import basic, residual_units
from spaces.layers.layers import Init, conv_bn_relu, draw_of, image_shape, pooled_linear, scaled

CHANNELS = (16, 32, 64)


def resnet32(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-32 for CIFAR, a stem and 15 basic blocks."""
    return _cifar_resnet("resnet32", 5, input_shape, num_classes, width, init)


def resnet56(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-56 for CIFAR, a stem and 27 basic blocks."""
    return _cifar_resnet("resnet56", 9, input_shape, num_classes, width, init)


def resnet110(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0, init: Init = None) -> Backbone:
    """ResNet-110 for CIFAR, a stem and 54 basic blocks."""
    return _cifar_resnet("resnet110", 18, input_shape, num_classes, width, init)


def _cifar_resnet(name: str, depth: int, input_shape: tuple[int, ...], num_classes: int, width: float, init: Init) -> Backbone:
    inputs, _, _ = image_shape(f"backbone {name}", input_shape)
    stages = [(scaled(base, width), depth) for base in CHANNELS]
    stem_channels, _ = stages[0]
    blocks = residual_units(basic, stem_channels, stages)
    units = [conv_bn_relu(inputs, stem_channels), *blocks]
    classifier = pooled_linear(blocks[-1].outputs, num_classes)
    draw = draw_of(init)
    return draw(Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes, width=width, draw=draw))
