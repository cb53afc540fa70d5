"""Heads that are alike, run as one: their convolutions become one grouped convolution, their BatchNorms one over all channels.

Sixty small heads are hundreds of small operations, each of which costs more to start than to compute, and in a second derivative
many times over. In lockstep, heads take each layer together for as long as their layers agree.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from nas.strategies.sedona.pooled_pointwise import ends_pooled, pooled_logits
from spaces.activation import pooled
from spaces.heads.conv import InvertedResidual
from spaces.layers.layers import GlobalAveragePool

Tensor = torch.Tensor
Kinds = tuple[Hashable, ...]  # of a head, layer by layer: layers of one kind may be taken together

NUM_LAST = 2  # layers that heads of every depth end with: the one to the features, and the linear one on their average


def kinds(head: nn.Module) -> Kinds | None:
    """The kinds of a head's layers; None where one is not known here, and so the head has to run alone."""
    if _kind(head) is None or not isinstance(head, nn.Sequential) or len(head) <= NUM_LAST:
        return None
    first: nn.Module = head
    while isinstance(first, nn.Sequential) and len(first):
        first = first[0]
    dense = isinstance(first, nn.Conv2d) and first.groups == 1  # may read one activation for several heads
    return tuple(map(_kind, head)) if dense else None


def lockstep(heads: Sequence[nn.Sequential], of_kinds: Sequence[Kinds], inputs: Sequence[Tensor]) -> list[Tensor]:
    """`[head(x) for head, x in zip(heads, inputs)]` up to rounding, x (N, C, H, W); `of_kinds` are those of the heads.

    Heads that are given one tensor read it together.
    """
    bodies = [len(head) - NUM_LAST for head in heads]
    ended = list[_Group]()
    groups = _Group.all_of(inputs, [(own[0], x.shape) for own, x in zip(of_kinds, inputs, strict=True)])
    for depth in range(max(bodies) + 1):
        running = list[_Group]()
        for group in groups:
            for part in group.parted([(bodies[i] == depth, of_kinds[i][depth]) for i in group.heads]):
                if bodies[part.heads[0]] == depth:
                    ended.append(part)
                else:
                    running.append(part.through([heads[i][depth] for i in part.heads]))
        groups = running
    logits: dict[int, Tensor] = {}
    for group in _Group.joined(ended, [(of_kinds[group.heads[0]][-NUM_LAST:], group.shape) for group in ended]):
        of_each = _ended([heads[i] for i in group.heads], group.x)
        logits |= dict(zip(group.heads, of_each, strict=True))
    return [logits[i] for i in range(len(heads))]


@dataclass(frozen=True)
class _Group:
    """Heads that have come equally far: which, and their activations beside each other, x (N, heads * C, ...).

    Before the first layer, heads that are given one tensor follow one another and x has it once.
    """

    heads: Sequence[int]
    x: Tensor

    @staticmethod
    def all_of(inputs: Sequence[Tensor], keys: Sequence[Hashable]) -> list[_Group]:
        """The heads of each key, before their first layer."""
        groups = []
        for members in _by_key(range(len(inputs)), keys):
            sharing = _by_key(members, [id(inputs[i]) for i in members])
            shared = len({len(heads) for heads in sharing}) == 1
            read = [inputs[heads[0]] for heads in sharing] if shared else [inputs[i] for heads in sharing for i in heads]
            groups.append(_Group([i for heads in sharing for i in heads], _beside(read)))
        return groups

    @staticmethod
    def joined(groups: Sequence[_Group], keys: Sequence[Hashable]) -> list[_Group]:
        """Groups of one key made one."""
        same = [[groups[k] for k in members] for members in _by_key(range(len(groups)), keys)]
        return [_Group([i for group in some for i in group.heads], _beside([group.x for group in some])) for some in same]

    @property
    def shape(self) -> torch.Size:
        """Of the activations of all its heads over the number of them."""
        return torch.Size([self.x.shape[1] // len(self.heads), *self.x.shape[2:]])

    def parted(self, keys: Sequence[Hashable]) -> list[_Group]:
        """The groups of each key; a single one keeps its activations where they are."""
        parts = _by_key(range(len(self.heads)), keys)
        if len(parts) == 1:
            return [self]
        own = self.x.chunk(len(self.heads), dim=1)
        return [_Group([self.heads[k] for k in part], _beside([own[k] for k in part])) for part in parts]

    def through(self, layers: Sequence[nn.Module]) -> _Group:
        """One layer on, each head its own."""
        return _Group(self.heads, _together(layers, self.x))


def _ended(heads: Sequence[nn.Sequential], x: Tensor) -> Sequence[Tensor]:
    """Their logits, where only the last layers are to come."""
    if ends_pooled(heads[0]):
        return pooled_logits(heads, x)
    for last in range(-NUM_LAST, 0):
        x = _together([head[last] for head in heads], x)
    return x.chunk(len(heads), dim=1)


def _by_key(items: Sequence[int], keys: Sequence[Hashable]) -> list[list[int]]:
    """The items of each key, in the order in which keys come first."""
    found: dict[Hashable, list[int]] = {}
    for item, key in zip(items, keys, strict=True):
        found.setdefault(key, []).append(item)
    return list(found.values())


def _beside(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def _kind(module: nn.Module) -> Hashable:
    """What must agree for layers to run together; None where that is not known."""
    if module._forward_pre_hooks or module._forward_hooks:
        return None
    match module:
        case InvertedResidual():
            body = _kind(module.body)
            return body and ("residual", module.skip, body)
        case nn.Sequential():
            parts = tuple(map(_kind, module))
            return None if None in parts else ("sequence", *parts)
        case nn.Conv2d(padding_mode="zeros", padding=tuple()):
            geometry = module.kernel_size, module.stride, module.padding, module.dilation, module.groups
            return "convolution", module.in_channels, module.out_channels, geometry, module.bias is None
        case nn.BatchNorm2d(affine=True, track_running_stats=True, momentum=float()):
            return "norm", module.num_features, module.eps, module.momentum
        case nn.ReLU():
            return ("relu",)
        case GlobalAveragePool():
            return ("pool",)
        case nn.Linear():
            return "linear", module.in_features, module.out_features, module.bias is None
    return None


def _together(layers: Sequence[Any], x: Tensor) -> Tensor:
    """Layers of one kind on x (N, layers * C, ...), each on its own channels."""
    match first := layers[0]:
        case InvertedResidual():
            made = _together([layer.body for layer in layers], x)
            return x + made if first.skip else made
        case nn.Sequential():
            for parts in zip(*layers, strict=True):
                x = _together(parts, x)
            return x
        case nn.Conv2d():
            groups = x.shape[1] // first.in_channels * first.groups  # fewer than layers where these share what they read
            return F.conv2d(
                x, _joined(layers, "weight"), _joined(layers, "bias"), first.stride, first.padding, first.dilation, groups
            )
        case nn.BatchNorm2d():
            return _batch_norm(layers, x)
        case nn.ReLU():
            return F.relu(x, first.inplace)
        case nn.Linear():
            of_each = x.unflatten(1, (len(layers), -1)).transpose(0, 1)  # (layers, N, C)
            weight = torch.stack([layer.weight for layer in layers]).transpose(1, 2)
            made = torch.bmm(of_each, weight)
            if first.bias is not None:
                made = made + torch.stack([layer.bias for layer in layers]).unsqueeze(1)
            return made.transpose(0, 1).flatten(1)
    return pooled(x)


def _batch_norm(layers: Sequence[Any], x: Tensor) -> Tensor:
    first = layers[0]
    mean, variance = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("running_mean", "running_var"))
    weight, bias = _joined(layers, "weight"), _joined(layers, "bias")
    y = F.batch_norm(x, mean, variance, weight, bias, first.training, first.momentum, first.eps)
    if first.training:
        for name, moved in (("running_mean", mean), ("running_var", variance)):
            torch._foreach_copy_([getattr(layer, name) for layer in layers], list(moved.chunk(len(layers))))
        torch._foreach_add_([layer.num_batches_tracked for layer in layers], 1)
    return y


def _joined(layers: Sequence[nn.Module], name: str) -> Any:
    own = [getattr(layer, name) for layer in layers]
    return own[0] if len(own) == 1 or own[0] is None else torch.cat(own)
