"""The two heads of PredSim (Nøkland and Eidnes 2019) as one module."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from spaces.activation import Activation, convolved, num_features
from spaces.backbone import Site
from spaces.heads.as_map import map_at
from spaces.layers.layers import pooled_linear, scaled

FEATURES = 512


class PredSimHead(nn.Module):
    """PredSim's heads: logits from pooled features, and a 3x3 convolution for the similarity loss.

    Prediction: average pool to at most 512 * backbone.width features (or to 1 x 1), its kernel doubled along height
    and width by turns, then a linear layer. Similarity: a 3x3 convolution C -> C without bias. Two deviations: weights
    are drawn as in SEDONA's comparison, where the original starts the linear layer at 0; and a side that the kernel
    does not divide gets a smaller last window, where the original pads and may leave pixels out.

    On tokens, of which the paper does not speak: logits from the mean token, and a convolution over 3 tokens. On
    vectors: a linear layer each, as the original has for fully connected networks.
    """

    def __init__(self, site: Site) -> None:
        super().__init__()
        channels = num_features(site.shape)
        self.prediction = pooled_linear(channels, site.num_classes)
        self.projection: nn.Module = nn.Linear(channels, channels, bias=False)
        if len(site.shape) == 2:
            self.projection = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        elif len(site.shape) == 3:
            first, (_, *sides) = map_at("head predsim", site)
            kernel, features = _pooling(channels, sides, scaled(FEATURES, site.backbone.width))
            self.prediction = nn.Sequential(
                *first, nn.AvgPool2d(kernel, ceil_mode=True), nn.Flatten(), nn.Linear(features, site.num_classes)
            )
            self.projection = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        site.backbone.draw(self)

    def forward(self, h: Activation) -> torch.Tensor:
        """An activation -> logits (N, classes)."""
        return self.prediction(h)

    def similarity(self, h: Activation) -> Activation:
        """An activation -> one of the same shape, whose similarity matrix is matched with the labels'."""
        return convolved(h, self.projection)


def _pooling(channels: int, sides: Sequence[int], target: int) -> tuple[tuple[int, int], int]:
    """The kernel, its sides doubled by turns until at most `target` features are left, and how many are."""
    kernel, turn = [1, 1], 0
    while True:
        pooled = [math.ceil(side / k) for side, k in zip(sides, kernel, strict=True)]
        if channels * math.prod(pooled) <= target or pooled == [1, 1]:
            return (kernel[0], kernel[1]), channels * math.prod(pooled)
        kernel[turn] *= 2
        turn = 1 - turn
