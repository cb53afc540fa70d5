"""The image networks of Associated Learning, as in Peng's thesis code (2023).

Their convolutions have the published counts: 157,920 parameters in al_cnn, 6,790,784 in al_vgg and 11,168,832 in
al_resnet18. The classifier, which Associated Learning does without, is a pooled linear layer here; the thesis compares
with backprop through far larger ones (7.03, 13.92 and 14.46 million parameters in all with 10 classes). The weights are
drawn as everywhere here, where the code keeps PyTorch's default.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from spaces.backbone import Backbone
from spaces.backbones.resnet import Residual, residual_units
from spaces.layers.layers import conv_bn, conv_bn_relu, image_shape, kaiming, pooled_linear, scaled

CNN = ((32, 1), (32, 1), (32, 1), (32, 2), (64, 1), (64, 1), (64, 1), (64, 2))  # channels and stride of each convolution
VGG = ((128, False), (256, True), (256, False), (512, True), (512, True), (512, True))  # channels, and whether a pool follows
RESNET = (64, 128, 256, 512)  # channels of each stage of two blocks


def al_cnn(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0) -> Backbone:
    """Eight 3x3 convolutions with bias and ReLU, without BatchNorm; each a unit."""
    channels, _, _ = image_shape("backbone al_cnn", input_shape)
    units = []
    for base, stride in CNN:
        outputs = scaled(base, width)
        units.append(nn.Sequential(nn.Conv2d(channels, outputs, 3, stride, padding=1), nn.ReLU(inplace=True)))
        channels = outputs
    return _backbone(units, channels, input_shape, num_classes, width)


def al_vgg(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0) -> Backbone:
    """Six 3x3 conv-BN-ReLU, each a unit with the max-pool behind it; images of at least 16 x 16."""
    channels, _, _ = image_shape("backbone al_vgg", input_shape, smallest=2 ** sum(pooled for _, pooled in VGG))
    units = []
    for base, pooled in VGG:
        outputs = scaled(base, width)
        pool = [nn.MaxPool2d(2)] if pooled else []
        units.append(nn.Sequential(*conv_bn_relu(channels, outputs), *pool))
        channels = outputs
    return _backbone(units, channels, input_shape, num_classes, width)


def al_resnet18(input_shape: tuple[int, ...], num_classes: int, *, width: float = 1.0) -> Backbone:
    """ResNet-18 with LeakyReLU: a 3x3 stem and 8 basic blocks, each a unit."""
    channels, _, _ = image_shape("backbone al_resnet18", input_shape)
    stages = [(scaled(base, width), 2) for base in RESNET]
    first, last = stages[0][0], stages[-1][0]
    stem = nn.Sequential(*conv_bn(channels, first), nn.LeakyReLU(inplace=True))
    return _backbone([stem, *residual_units(_leaky_basic, first, stages)], last, input_shape, num_classes, width)


class LeakyResidual(Residual):
    """leaky_relu(body(x) + shortcut(x))."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return F.leaky_relu(self.body(x) + self.shortcut(x), inplace=True)


def _leaky_basic(inputs: int, channels: int, stride: int) -> Residual:
    body = nn.Sequential(*conv_bn(inputs, channels, 3, stride), nn.LeakyReLU(inplace=True), *conv_bn(channels, channels))
    return LeakyResidual(body, inputs, channels, stride)


def _backbone(
    units: list[nn.Sequential] | list[nn.Module], channels: int, input_shape: tuple[int, ...], num_classes: int, width: float
) -> Backbone:
    classifier = pooled_linear(channels, num_classes)
    return kaiming(Backbone(units, classifier, input_shape=input_shape, num_classes=num_classes, width=width))
