"""The mean over places of relu(x W + b): heads' last pointwise convolution and their pooling, without the map between them.

That map is the largest of a head: 512 channels wide where its input may have 4. Here it is made anew in each pass, a part at a
time that fits into the cache, and never kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

Tensor = torch.Tensor
Maybe = torch.Tensor | None
Part = tuple[slice, slice]  # heads, samples

CPU_PART, PART = 2**17, 2**28  # numbers of the map that are made at once


def pooled_features(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Of each of H heads x (H, N, places, C), weight (H, C, F), bias (H, F): (H, N, F), averaged over the places.

    It can be derived twice, and has a forward mode.
    """
    return _Pooled.apply(x, weight, bias)


def _parts(x: Tensor, weight: Tensor) -> Iterator[Part]:
    """What is made at once: several heads where their maps are small, else some samples of one."""
    (num_heads, num_samples, places, _), features = x.shape, weight.shape[2]
    most = CPU_PART if x.device.type == "cpu" else PART
    heads = max(1, most // (num_samples * places * features))
    samples = num_samples if heads > 1 else max(1, most // (places * features))
    for head in range(0, num_heads, heads):
        for sample in range(0, num_samples, samples):
            yield slice(head, head + heads), slice(sample, sample + samples)


def _sums(like: Tensor) -> Tensor:
    """Zeros to add parts to: in bfloat16 many would be lost."""
    return torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))


def _rows(x: Tensor, part: Part) -> Tensor:
    """(h, n * places, C)."""
    return x[part].flatten(1, 2)


def _map(x: Tensor, weight: Tensor, bias: Tensor, part: Part) -> Tensor:
    """(h, n * places, F), before the ReLU."""
    return torch.baddbmm(bias[part[0]].unsqueeze(1), _rows(x, part), weight[part[0]])


def _through(mapped: Tensor, of_places: Tensor) -> Tensor:
    """(h, n * places, F): what the ReLU lets through, else 0; `of_places` is (h, n, 1, F) or as the result."""
    if of_places.dim() == 4:
        shape = (*of_places.shape[:2], -1, mapped.shape[2])
        return torch.ops.aten.threshold_backward(of_places.expand_as(mapped.view(shape)), mapped.view(shape), 0).flatten(1, 2)
    return torch.ops.aten.threshold_backward(of_places, mapped, 0)


def _mean(of_places: Tensor, x: Tensor) -> Tensor:
    """(h, n, F) of (h, n * places, F)."""
    return of_places.unflatten(1, (-1, x.shape[2])).mean(2)


def _moved(mapped: Tensor, x: Tensor, weight: Tensor, dx: Maybe, dw: Maybe, db: Maybe, part: Part) -> Tensor:
    """(h, n, F): how fast the features move as x, weight and bias do."""
    pairs = [(a, b) for a, b in ((dx, weight), (x, dw)) if a is not None and b is not None]
    moved = torch.zeros_like(mapped) if db is None else db[part[0]].unsqueeze(1).expand_as(mapped)
    for a, b in pairs:
        moved = torch.baddbmm(moved, _rows(a, part), b[part[0]])
    return _mean(_through(mapped, moved), x)


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.save_for_forward(x, weight, bias)
        features = x.new_empty(*x.shape[:2], weight.shape[2])
        for part in _parts(x, weight):
            features[part] = _mean(_map(x, weight, bias, part).relu_(), x)
        return features

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return _PooledBackward.apply(g, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, dw: Maybe, db: Maybe) -> Tensor:
        x, weight, bias = ctx.saved_tensors
        moved = x.new_empty(*x.shape[:2], weight.shape[2])
        for part in _parts(x, weight):
            moved[part] = _moved(_map(x, weight, bias, part), x, weight, dx, dw, db, part)
        return moved


class _PooledBackward(torch.autograd.Function):
    """With G = g / places where the ReLU lets it through: G W^T, x^T G and the sum of G."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        ctx.save_for_backward(g, x, weight, bias)
        ctx.set_materialize_grads(False)
        of_place = (g / x.shape[2]).unsqueeze(2)
        gx, gw, gb = torch.empty_like(x), _sums(weight), _sums(bias)
        for part in _parts(x, weight):
            through = _through(_map(x, weight, bias, part), of_place[part])
            gx[part] = torch.bmm(through, weight[part[0]].mT).view_as(gx[part])
            gw[part[0]].add_(torch.bmm(_rows(x, part).mT, through))
            gb[part[0]].add_(through.sum(1))
        return gx, gw.to(weight.dtype), gb.to(bias.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, ux: Maybe, uw: Maybe, ub: Maybe) -> Any:
        """What is differentiated is <g, the mean over the places of ux W + x uw + ub where the ReLU lets it through>."""
        g, x, weight, bias = ctx.saved_tensors
        of_place, gg = (g / x.shape[2]).unsqueeze(2), torch.empty_like(g)
        gx = None if uw is None else torch.empty_like(x)
        gw = None if ux is None else _sums(weight)
        for part in _parts(x, weight):
            mapped = _map(x, weight, bias, part)
            gg[part] = _moved(mapped, x, weight, ux, uw, ub, part)
            through = _through(mapped, of_place[part])
            if gx is not None and uw is not None:
                gx[part] = torch.bmm(through, uw[part[0]].mT).view_as(gx[part])
            if gw is not None and ux is not None:
                gw[part[0]].add_(torch.bmm(_rows(ux, part).mT, through))
        return gg, gx, gw if gw is None else gw.to(weight.dtype), None
