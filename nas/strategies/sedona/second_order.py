"""Convolution and BatchNorm whose derivatives are cheap to derive once more.

What autograd does for a second derivative is slow in two places: it takes a grouped convolution's apart group by group, and
BatchNorm's into some thirty passes over the map. Both have closed forms. A convolution is bilinear, so the derivatives of
its gradients are convolutions again; those of BatchNorm's gradients are sums of three maps with factors for each channel.
Exact up to rounding, on every device. A third derivative does not exist here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

Tensor = torch.Tensor
Maybe = torch.Tensor | None


@contextmanager
def twice_differentiable(module: nn.Module) -> Iterator[None]:
    """Inside, attention and recurrent layers take those of their kernels that have a second derivative and, but for LSTM and
    GRU on a GPU, a forward mode."""
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    without_cudnn = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    # None leaves tf32 as it is: torch warns when it is set, even to its own default.
    without_mkldnn = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None) if recurrent else nullcontext()
    with sdpa_kernel(SDPBackend.MATH), without_cudnn, without_mkldnn:
        yield


class SecondOrder(TorchFunctionMode):
    """`with SecondOrder():` replaces 1-d to 3-d convolutions and training-mode BatchNorm in all that runs inside.

    BatchNorm's running statistics stay as they are: nothing inside reads them. Where saved tensors go through hooks, as in a
    checkpoint, nothing is replaced: autograd leaves all modes before the backward pass, which would compute it otherwise.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _REPLACEMENTS and _top_saved_tensors_default_hooks(False) is None:
            function = _REPLACEMENTS[function]
        return function(*args, **(kwargs or {}))


def _conv(input: Tensor, weight: Tensor, bias: Maybe = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
          groups: int = 1) -> Tensor:
    spatial = weight.dim() - 2
    if isinstance(padding, str) or input.dim() != weight.dim():
        return _PLAIN_CONV[spatial](input, weight, bias, stride, padding, dilation, groups)
    geometry = (*(_each(value, spatial) for value in (stride, padding, dilation)), groups)
    y = _Conv.apply(input, weight, geometry)
    return y if bias is None else y + bias.view(-1, *[1] * spatial)


def _batch_norm(input: Tensor, running_mean: Maybe, running_var: Maybe, weight: Maybe = None, bias: Maybe = None,
                training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    if not training or weight is None or bias is None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    return _BatchNorm.apply(input, weight, bias, eps)


_PLAIN_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_REPLACEMENTS: dict[Any, Any] = dict.fromkeys(_PLAIN_CONV.values(), _conv) | {F.batch_norm: _batch_norm}


def _each(value: Any, spatial: int) -> list[int]:
    return list(value) if isinstance(value, tuple | list) else [value] * spatial


# ---- convolution: y = x * w

def _forward(x: Tensor, weight: Tensor, geometry: Any) -> Tensor:
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution(x, weight, None, stride, padding, dilation, False, [0] * len(stride), groups)


def _backward(g: Tensor, x: Tensor, weight: Tensor, geometry: Any, wanted: tuple[bool, bool]) -> tuple[Maybe, Maybe]:
    """The gradients of x and of the weight."""
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        g, x, weight, None, stride, padding, dilation, False, [0] * len(stride), groups, [*wanted, False])[:2]


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


# ---- BatchNorm of a batch: y = weight * xhat + bias, xhat = (x - mean) * r, r = 1 / std

class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, r = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, r)
        ctx.save_for_forward(x, weight, mean, r)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return *_BatchNormBackward.apply(g, *ctx.saved_tensors, ctx.eps), None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, dw: Maybe, db: Maybe, _: None) -> Tensor:
        x, weight, mean, r = ctx.saved_tensors
        columns = _Columns(x)
        moved = torch.zeros_like(x) if dx is None else _batch_norm_backward(dx, x, weight, mean, r, ctx.eps, only_x=True)[0]
        zero = torch.zeros_like(weight)
        dw, db = zero if dw is None else dw, zero if db is None else db
        return columns.unfold(columns.fold(moved) + columns.affine(columns.fold(x), dw * r, db - dw * r * mean))


def _batch_norm_backward(g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float, *,
                         only_x: bool = False) -> tuple[Tensor, ...]:
    wanted = [True, not only_x, not only_x]
    return torch.ops.aten.native_batch_norm_backward(g, x, weight, None, None, mean, r, True, eps, wanted)


class _BatchNormBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float) -> Any:
        gx, gw, gb = _batch_norm_backward(g, x, weight, mean, r, eps)
        ctx.save_for_backward(g, x, weight, mean, r, gw, gb)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return gx, gw, gb

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Maybe, uw: Maybe, ub: Maybe) -> Any:
        """With averages m over batch and space, p = m(g), q = m(g xhat), s = m(u), t = m(u xhat), a = m(u g) - s p - t q:
        what is differentiated is n w r a + uw n q + ub n p, where xhat and r depend on x."""
        g, x, w, mean, r, gw, gb = ctx.saved_tensors
        columns, n = _Columns(x), x.numel() // x.shape[1]
        zero = torch.zeros_like(w)
        uw, ub = zero if uw is None else uw, zero if ub is None else ub
        u = torch.zeros_like(x) if u is None else u
        through, sum_u_xhat, sum_u = _batch_norm_backward(u, x, w, mean, r, ctx.eps)  # w r (u - s - t xhat)
        p, q, s, t, wr = gb / n, gw / n, sum_u / n, sum_u_xhat / n, w * r
        through, g, u, x = columns.fold(through), columns.fold(g), columns.fold(u), columns.fold(x)
        a = columns.mean(u * g) - s * p - t * q
        columns.add(through, x, uw * r).add_(columns.repeat(ub - uw * r * mean))
        m_w, m_wx = -wr * (q * s + t * p) + uw * p, (uw - 2 * wr * t) * q
        of_xhat = -r * m_wx - wr * r * a
        gx = columns.affine(u, -wr * r * q, -r * m_w - of_xhat * r * mean)
        columns.add(gx, g, r * (uw - wr * t))
        columns.add(gx, x, of_xhat * r)
        return columns.unfold(through), columns.unfold(gx), r * n * a, None, None, None


class _Columns:
    """Maps like x (N, C, ...) as matrices whose rows are long, channels last inside: sums and factors for each channel run
    over whole rows, which is several times faster than over C numbers each."""

    def __init__(self, x: Tensor) -> None:
        last_first = x.movedim(1, -1)
        self.shape = last_first.shape
        self.channels, self.count = x.shape[1], x.numel() // x.shape[1]
        self.repeats = self.shape[-2] if x.dim() > 2 else 1

    def fold(self, x: Tensor) -> Tensor:
        """A view where x lies channels-last."""
        return x.movedim(1, -1).reshape(-1, self.repeats * self.channels)

    def unfold(self, rows: Tensor) -> Tensor:
        return rows.view(self.shape).movedim(-1, 1)

    def mean(self, rows: Tensor) -> Tensor:
        """(C,): the average over all but the channel."""
        return rows.sum(0).view(self.repeats, self.channels).sum(0) / self.count

    def repeat(self, of_channels: Tensor) -> Tensor:
        """(C,) as a row."""
        return of_channels.repeat(self.repeats)

    def affine(self, rows: Tensor, factor: Tensor, summand: Tensor) -> Tensor:
        return torch.addcmul(self.repeat(summand), rows, self.repeat(factor))

    def add(self, rows: Tensor, more: Tensor, factor: Tensor) -> Tensor:
        """rows += factor * more, in place."""
        return rows.addcmul_(more, self.repeat(factor))
