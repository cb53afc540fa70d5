"""AugLocal's head (Ma et al. 2024): copies of units of the backbone that lie after the cut."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from spaces.activation import Accompanied, num_features
from spaces.backbone import Backbone, Site
from spaces.layers.fresh_copy import fresh_copy
from spaces.layers.layers import pooled_linear
from spaces.notation.errors import UserError


def auglocal(site: Site, *, depth: int = 6, pyramid: float = 0.5) -> nn.Module:
    """Units shaped like `depth` or fewer that lie after the cut, evenly spread, with weights of their own; a linear layer.

    With l = gap - 1, the last unit before the cut, of L units, the units round(l + (L - l - 1) / d i), i = 1..d, global
    average pool, a linear layer on pooled features (BatchNorm before it if d <= 1). Pyramid: d = max(1, round(depth
    (1 - pyramid t) + pyramid t)), t = l / (L - depth - 2) within 0..1, which is the released code's where each unit is
    a block up to the last depth + 1; and no more units than there are.

    The shapes chain by this rule, for any backbone: a unit of another shape than what comes is stood for by the unit
    that leads to its shape; so it halves the map where the backbone does. Deviations from the released code: where a
    step passes two changes of shape, both leading units are there (the code makes one, with the stride of one); and
    VGG's heads end with one linear layer too. The site's shape is the backbone's at that gap; a depth under 1 or a
    pyramid outside 0..1 is a UserError.

    depth    units of the first head
    pyramid  the share of them by which heads become smaller along the network; 0 for none
    """
    if depth < 1:
        raise UserError(f"the depth of head auglocal is a number from 1 on, got {depth}")
    if not 0 <= pyramid <= 1:
        raise UserError(f"pyramid says how much of head auglocal's depth the last cut loses, in 0..1, got {pyramid}")
    num_units, last = len(site.backbone.units), site.gap - 1
    share = pyramid * min(1.0, last / max(1, num_units - depth - 2))
    asked = max(1, round(depth * (1 - share) + share))
    chain = _chain(_forms(site.backbone), last, sampled_units(num_units, last, asked))
    channels = num_features(site.backbone.shapes[chain[-1] + 1 if chain else site.gap])
    pool, linear = pooled_linear(channels, site.num_classes)
    norm = [nn.BatchNorm1d(channels)] if asked == 1 else []
    return site.backbone.draw(nn.Sequential(*(fresh_copy(site.backbone.units[i]) for i in chain), pool, *norm, linear))


def sampled_units(num_units: int, last: int, depth: int) -> list[int]:
    """At most `depth` units after unit `last`, evenly spread up to the backbone's last one."""
    rest = num_units - last - 1
    depth = min(depth, rest)
    return [round(last + rest / depth * i) for i in range(1, depth + 1)]


def _forms(backbone: Backbone) -> list[object]:
    """What distinguishes the activations at each gap: their shape, and what stands beside them, such as a mask that a unit has
    made of another."""
    activations = [backbone.example(gap) for gap in range(len(backbone.shapes))]
    constants = [h.constants if isinstance(h, Accompanied) else () for h in activations]
    return [(shape, *((c.shape, c.dtype) for c in beside)) for shape, beside in zip(backbone.shapes, constants, strict=True)]


def _chain(forms: Sequence[object], last: int, sampled: Sequence[int]) -> list[int]:
    """The units that stand for the sampled ones, so that each takes the form that the one before it makes."""
    chain: list[int] = []
    for i in sampled:
        leading = [j for j in range(last + 1, i + 1) if forms[j] != forms[j + 1]]
        chain += leading or [i]
        last = i
    return chain
