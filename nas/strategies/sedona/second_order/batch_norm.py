"""BatchNorm of a batch: y = weight * xhat + bias, xhat = (x - mean) * r, r = 1 / std.

The derivatives of its gradients are sums of three maps with factors for each channel, where autograd makes some thirty passes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Tensor = torch.Tensor
Maybe = torch.Tensor | None


def batch_norm(
    input: Tensor,
    running_mean: Maybe,
    running_var: Maybe,
    weight: Maybe = None,
    bias: Maybe = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As torch's; in evaluation mode or without weights it is torch's own. Running statistics are neither read nor moved."""
    if not training or weight is None or bias is None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    return _BatchNorm.apply(input, weight, bias, eps)


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
        moved = columns.fold(moved) + columns.affine(columns.fold(x), dw * r, db - dw * r * mean)
        return columns.unfold(moved.to(x.dtype))


def _batch_norm_backward(
    g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float, *, only_x: bool = False
) -> tuple[Tensor, ...]:
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
        """A vector (C,) as a row (1, C) that is repeated for every sample."""
        return of_channels.repeat(self.repeats)

    def affine(self, rows: Tensor, factor: Tensor, summand: Tensor) -> Tensor:
        return torch.addcmul(self.repeat(summand), rows, self.repeat(factor))

    def add(self, rows: Tensor, more: Tensor, factor: Tensor) -> Tensor:
        """rows += factor * more, in place."""
        return rows.addcmul_(more, self.repeat(factor))
