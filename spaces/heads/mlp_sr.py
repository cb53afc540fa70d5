"""DGL's head (Belilovsky et al. 2020): an MLP at spatially reduced resolution."""

from __future__ import annotations

import math

import torch
from torch import nn

from spaces.activation import Activation, num_features, pooled
from spaces.backbone import Site
from spaces.heads.as_map import map_at
from spaces.layers.layers import conv_bn_relu
from spaces.notation.errors import UserError


def mlp_sr(site: Site, *, pool: int | None = None) -> nn.Module:
    """DGL's MLP-SR head: average pool to a quarter, 1x1 convolutions, average pool to 2 x 2, three hidden layers.

    Each side s is pooled to ceil(s / 4), or with `pool` to at most so many pixels, then 3 times a 1x1 convolution C -> C,
    BatchNorm and ReLU, then each side to at most 2; 3 hidden layers with BatchNorm and ReLU, each as wide as the flattened
    map (4 C on 2 x 2), and a linear layer. DGL's ResNet-152 takes its 14 x 14 map for 7 x 7, which is pool=2. SEDONA's form:
    a map of 1 x 1 stays so, where DGL repeats it to 2 x 2. On tokens and vectors, of which no paper speaks, it is the head
    of such a map: of the mean token's features, or of the vector's.

    pool  pixels of a side after the first pooling, at most; None for a quarter of the side
    """
    if pool is not None and pool < 1:
        raise UserError(
            f"pool is the side in pixels to which head mlp_sr pools first, from 1 on, got {pool}; leave it out "
            "for a quarter of the side"
        )
    first: list[nn.Module] = [OnePixel()]
    channels, *sides = num_features(site.shape), 1, 1
    if len(site.shape) > 2:
        first, (channels, *sides) = map_at("head mlp_sr", site)
    quarter = [math.ceil(side / 4) if pool is None else min(side, pool) for side in sides]
    last = [min(side, 2) for side in quarter]
    hidden = channels * math.prod(last)
    convs = [conv_bn_relu(channels, channels, 1) for _ in range(3)]
    layers = [nn.Sequential(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)) for _ in range(3)]
    return site.backbone.draw(
        nn.Sequential(
            *first,
            nn.AdaptiveAvgPool2d(tuple(quarter)),
            *convs,
            nn.AdaptiveAvgPool2d(tuple(last)),
            nn.Flatten(),
            *layers,
            nn.Linear(hidden, site.num_classes),
        )
    )


class OnePixel(nn.Module):
    """Tokens of D features, or vectors, -> maps (N, D, 1, 1)."""

    def forward(self, h: Activation) -> torch.Tensor:
        """Logits (N, C) of the mean over tokens."""
        return pooled(h)[:, :, None, None]
