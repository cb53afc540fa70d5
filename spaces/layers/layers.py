"""Layers that backbones and heads are made of, and the checks of their shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Protocol, TypeVar

import torch
from torch import nn

from spaces.activation import Activation, TextShape, input_shape, pooled
from spaces.notation.errors import UserError

M = TypeVar("M", bound=nn.Module)
Init = Literal["fan_out"] | None  # how a backbone and its heads are drawn: `fan_out`, or, where nothing is said, `kaiming`


class Draw(Protocol):
    """Draws the weights of a module anew, and gives it back."""

    def __call__(self, module: M, /) -> M: ...


def conv_bn(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, *, along_row: bool = False
) -> nn.Sequential:
    """A convolution without bias that keeps the size up to its stride, and BatchNorm.

    `along_row`: of 1 x kernel, which steps along rows alone, as for maps of one row.
    """
    kernels, strides = ((1, kernel), (1, stride)) if along_row else ((kernel, kernel), (stride, stride))
    padding = (kernels[0] // 2, kernels[1] // 2)
    conv = nn.Conv2d(inputs, outputs, kernels, strides, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, *, along_row: bool = False
) -> nn.Sequential:
    """`conv_bn`, then ReLU in place: BatchNorm's backward pass needs its input, not its output."""
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride, groups, along_row=along_row), nn.ReLU(inplace=True))


def pooled_linear(channels: int, num_classes: int) -> nn.Sequential:
    """Global average pool and a linear layer: (N, channels, H, W), tokens or (N, channels) -> logits (N, num_classes)."""
    return nn.Sequential(GlobalAveragePool(), nn.Linear(channels, num_classes))


class GlobalAveragePool(nn.Module):
    """(N, C, H, W) -> (N, C), tokens -> (N, D). torch's own pool gives channels-last maps a gradient in the other layout,
    which slows down the whole backward pass of what lies below."""

    def forward(self, x: Activation) -> torch.Tensor:
        """The mean over space or over each text's own tokens; vectors are left as they are."""
        return pooled(x)


def kaiming(module: M) -> M:
    """Draw all weights anew, Kaiming-normal over the fan-in, and set biases to 0; BatchNorm starts as the identity.

    An LSTM's weights from step to step are orthogonal, as in AL's code.
    """
    for layer in _with_storage(module):
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.LSTM):
            for name, parameter in layer.named_parameters():
                draw = nn.init.orthogonal_ if "weight_hh" in name else nn.init.kaiming_normal_
                (nn.init.zeros_ if "bias" in name else draw)(parameter)
    return module


def _with_storage(module: nn.Module) -> Iterator[nn.Module]:
    """Its modules but those on the meta device, where drawing takes longer than all else of building a network."""
    return (layer for layer in module.modules() if not any(p.is_meta for p in layer.parameters(recurse=False)))


def draw_of(init: Init) -> Draw:
    """The function that draws weights, by the name of the setting `init`."""
    return kaiming if init is None else fan_out


def fan_out(module: M) -> M:
    """Draw the weights anew as the code of InfoPro, ContSup, AugLocal and MAN does: convolutions normal over the fan-out, std
    sqrt(2 / (k k C_out)), and linear layers as PyTorch does, uniform in +-1 / sqrt(fan-in), with their biases."""
    for layer in _with_storage(module):
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            layer.reset_parameters()
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return module


def xavier(module: M) -> M:
    """Draw the weights of linear layers anew, Xavier-uniform, and set their biases to 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return module


def scaled(channels: int, width: float) -> int:
    """`width` times as many channels, rounded down; a UserError if none is left."""
    if not 1 <= channels * width < math.inf:
        raise UserError(f"width multiplies the channels; it is a number from 1/{channels} on here, got {width}")
    return int(channels * width)


def image_shape(component: str, shape: tuple[int, ...], smallest: int = 1) -> tuple[int, int, int]:
    """`shape` as (C, H, W); a UserError if it is no such shape or a side is under `smallest`."""
    came = input_shape(shape)
    if not came.plain:
        raise UserError(
            f"{component} takes images (channels, height, width), got {came.described}; take a task of images, or {came.spaces}"
        )
    if len(shape) != 3:
        raise UserError(
            f"{component} takes images or maps (channels, height, width), got the shape {tuple(shape)}; "
            "on vectors take the head linear, mlp, mlp_sr, predsim or auglocal"
        )
    channels, height, columns = shape
    if min(height, columns) < smallest:
        raise UserError(
            f"{component} needs at least {smallest} x {smallest} pixels, got {height} x {columns}; "
            "take larger images or another backbone"
        )
    return channels, height, columns


def text_shape(component: str, shape: tuple[int, ...]) -> TextShape:
    """`shape`, if it is that of texts, else a UserError."""
    if not isinstance(shape, TextShape):
        came = input_shape(shape)
        raise UserError(f"{component} is for texts, got {came.described}; take a task of texts such as ag_news, or {came.spaces}")
    return shape


def check_sizes(component: str, dropout: float, **sizes: int) -> None:
    """A UserError unless all sizes are from 1 on and dropout is a share of what is dropped."""
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"{component}, setting {name} is a number from 1 on, got {size}")
    if not 0 <= dropout < 1:
        raise UserError(f"{component}, setting dropout is a share in [0, 1), got {dropout}")
