"""The end of SEDONA's heads, most of their work: a 1x1 convolution to the features, BatchNorm, ReLU, average, linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nas.strategies.sedona.second_order.pooled_features import pooled_features
from spaces.layers.layers import GlobalAveragePool

Tensor = torch.Tensor


def ends_pooled(head: nn.Sequential) -> bool:
    """Whether the last two layers of a head are those of `pooled_logits`."""
    match [list(layer) if isinstance(layer, nn.Sequential) else [] for layer in list(head)[-2:]]:
        case [[nn.Conv2d(kernel_size=(1, 1), stride=(1, 1), padding=(0, 0), groups=1, bias=None), norm, nn.ReLU()], last]:
            match norm, last:
                case nn.BatchNorm2d(), [GlobalAveragePool(), nn.Linear()]:
                    return True
    return False


def pooled_logits(heads: Sequence[nn.Sequential], x: Tensor) -> Sequence[Tensor]:
    """Each head's logits (N, classes) of its own channels of x (N, heads * C, H, W).

    A pointwise convolution is linear, so the statistics of what it makes follow from the mean m and the covariance S of what
    it reads: W m and diag(W S W^T). BatchNorm is then another pointwise convolution, and the map of F features need not be
    kept, nor be as long as all its places. Equal to the layers up to rounding; running statistics follow.
    """
    of_heads = x.movedim(1, -1).flatten(1, -2).unflatten(2, (len(heads), -1)).permute(2, 0, 1, 3).contiguous()
    with torch.autocast(x.device.type, enabled=False):  # statistics and what follows from them, in full
        weight, bias = _normalised([head[-2] for head in heads], of_heads)
        last: list[Any] = [list(head[-1].children())[1] for head in heads]
        to_logits = torch.stack([layer.weight for layer in last]).mT
    lower = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else weight.dtype
    features = pooled_features(of_heads.to(lower), weight.to(lower), bias.to(lower))
    logits = torch.bmm(features, to_logits.to(lower))
    if last[0].bias is not None:
        logits = logits + torch.stack([layer.bias for layer in last]).unsqueeze(1)
    return logits.unbind()


def _normalised(layers: Sequence[Any], x: Tensor) -> tuple[Tensor, Tensor]:
    """Convolution and BatchNorm of each as one product: weight (heads, C, F), bias (heads, F)."""
    pointwise, norms = list[Any](layer[0] for layer in layers), list[Any](layer[1] for layer in layers)
    weight, scale, bias = (
        torch.stack([getattr(part, name) for part in parts])
        for parts, name in ((pointwise, "weight"), (norms, "weight"), (norms, "bias"))
    )
    weight = weight.flatten(2)
    if norms[0].training:
        rows = x.flatten(1, 2).to(weight.dtype)
        center = rows.mean(1, keepdim=True)
        rows = rows - center
        mean = (weight @ center.mT).squeeze(2)
        variance = ((weight @ (rows.mT @ rows)) * weight).sum(2) / rows.shape[1]
        _follow(norms, mean.detach(), variance.detach() * (rows.shape[1] / max(1, rows.shape[1] - 1)))
    else:
        mean, variance = (torch.stack([getattr(norm, name) for norm in norms]) for name in ("running_mean", "running_var"))
    scale = scale * torch.rsqrt(variance + norms[0].eps)
    return (weight * scale.unsqueeze(2)).mT.contiguous(), bias - scale * mean


def _follow(norms: Sequence[Any], mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics, as BatchNorm does."""
    for name, batch in (("running_mean", mean), ("running_var", variance)):
        torch._foreach_lerp_([getattr(norm, name) for norm in norms], list(batch.unbind()), norms[0].momentum)
    torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)
