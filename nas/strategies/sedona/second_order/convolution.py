"""Convolution, y = x * w. It is bilinear, so the derivatives of its gradients are convolutions again."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Tensor = torch.Tensor
Maybe = torch.Tensor | None

PLAIN = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}  # by the number of spatial dimensions


def conv(
    input: Tensor, weight: Tensor, bias: Maybe = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """As torch's conv1d, conv2d and conv3d; with padding by name or without a batch dimension it is theirs."""
    spatial = weight.dim() - 2
    if isinstance(padding, str) or input.dim() != weight.dim():
        return PLAIN[spatial](input, weight, bias, stride, padding, dilation, groups)
    if torch.is_autocast_enabled(input.device.type):
        lower = torch.get_autocast_dtype(input.device.type)
        input, weight, bias = input.to(lower), weight.to(lower), None if bias is None else bias.to(lower)
    geometry = (*(_each(value, spatial) for value in (stride, padding, dilation)), groups)
    y = _Conv.apply(input, weight, geometry)
    return y if bias is None else y + bias.view(-1, *[1] * spatial)


def _each(value: Any, spatial: int) -> list[int]:
    return list(value) if isinstance(value, tuple | list) else [value] * spatial


def _forward(x: Tensor, weight: Tensor, geometry: Any) -> Tensor:
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution(x, weight, None, stride, padding, dilation, False, [0] * len(stride), groups)


def _backward(g: Tensor, x: Tensor, weight: Tensor, geometry: Any, wanted: tuple[bool, bool]) -> tuple[Maybe, Maybe]:
    """The gradients of x and of the weight."""
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        g, x, weight, None, stride, padding, dilation, False, [0] * len(stride), groups, [*wanted, False]
    )[:2]


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)
        ctx.geometry = geometry
        return _forward(x, weight, geometry)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return *_ConvBackward.apply(g, *ctx.saved_tensors, ctx.geometry, ctx.needs_input_grad[:2]), None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, dw: Maybe, _: None) -> Tensor:
        x, weight = ctx.saved_tensors
        moved = [_forward(a, b, ctx.geometry) for a, b in ((dx, weight), (x, dw)) if a is not None and b is not None]
        return moved[0] if len(moved) == 1 else moved[0] + moved[1]


class _ConvBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, geometry: Any, wanted: tuple[bool, bool]) -> Any:
        ctx.save_for_backward(g, x, weight)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return _backward(g, x, weight, geometry, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, ux: Maybe, uw: Maybe) -> Any:
        g, x, weight = ctx.saved_tensors
        geometry, (_, wants_x, wants_w, *_) = ctx.geometry, ctx.needs_input_grad
        terms = [_forward(a, b, geometry) for a, b in ((ux, weight), (x, uw)) if a is not None and b is not None]
        gg = terms[0].add_(terms[1]) if len(terms) == 2 else terms[0] if terms else None
        gx = _backward(g, x, uw, geometry, (True, False))[0] if wants_x and uw is not None else None
        gw = _backward(g, ux, weight, geometry, (False, True))[1] if wants_w and ux is not None else None
        return gg, gx, gw, None, None
