"""SEDONA's head: a separable convolution, up to three inverted residuals, and a linear layer on pooled features."""

from __future__ import annotations

import torch
from torch import nn

from spaces.backbone import Site
from spaces.heads.as_map import map_at
from spaces.layers.layers import conv_bn, conv_bn_relu, pooled_linear, scaled
from spaces.notation.errors import UserError

FEATURES = 512
MAX_DEPTH = 4


def conv(site: Site, *, depth: int = 1, reduction: int = 4) -> nn.Module:
    """SEDONA's head of depth 1..4 on C // reduction channels.

    1x1 convolution to p = C // reduction channels, 3x3 depthwise convolution of stride 2, depth - 1 inverted residuals
    that expand `reduction` times, 1x1 convolution to 512 * backbone.width features, global average pool, linear layer;
    BatchNorm and ReLU after each convolution but the last of an inverted residual. The second inverted residual has
    stride 2 and widens to p + p // 2, unless fewer than 2 pixels are left on a side: then neither. As released:
    ResNet-18 and -34 have reduction=1, and then the expansion is 1 too and the second inverted residual widens to 2 p.
    Tokens (T, D), of which no paper speaks, are a map of one row, and what is 3x3 is 1x3, over neighbouring tokens. Texts
    and vectors, a depth outside 1..4 or a reduction under 1 are UserErrors.

    depth      its convolutions: 1, and up to 3 inverted residuals more
    reduction  divides the channels of what comes before it works on them
    """
    first, (channels, *sides) = map_at("head conv", site)
    along_row = len(site.shape) == 2
    if along_row:
        sides = sides[1:]
    if not 1 <= depth <= MAX_DEPTH:
        raise UserError(f"the depth of head conv lies in 1..{MAX_DEPTH}, got {depth}")
    if reduction < 1:
        raise UserError(f"head conv divides the channels by reduction, a number from 1 on, got {reduction}")
    planes = max(1, channels // reduction)
    depthwise = conv_bn_relu(planes, planes, 3, stride=2, groups=planes, along_row=along_row)
    layers: list[nn.Module] = [*first, conv_bn_relu(channels, planes, 1), depthwise]
    widening = planes // 2 if reduction > 1 else planes
    for i in range(depth - 1):
        strided = i == 1 and min(sides) // 2 >= 2
        outputs = planes + widening if strided else planes
        layers.append(InvertedResidual(planes, outputs, 2 if strided else 1, reduction, along_row=along_row))
        planes = outputs
    features = scaled(FEATURES, site.backbone.width)
    last = conv_bn_relu(planes, features, 1), pooled_linear(features, site.num_classes)
    return site.backbone.draw(nn.Sequential(*layers, *last))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution, 1x1 projection (Sandler et al. 2018); x is added where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, *, along_row: bool = False) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = conv_bn_relu(inputs, hidden, 1) if expansion > 1 else nn.Sequential()
        depthwise = conv_bn_relu(hidden, hidden, 3, stride, groups=hidden, along_row=along_row)
        self.body = nn.Sequential(*expand, *depthwise, *conv_bn(hidden, outputs, 1))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return x + self.body(x) if self.skip else self.body(x)
