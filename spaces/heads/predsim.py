"""The two heads of PredSim (Nøkland and Eidnes 2019) as one module."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from spaces.backbone import Site
from spaces.layers import image_shape, kaiming, scaled

FEATURES = 512


class PredSimHead(nn.Module):
    """PredSim's heads: logits from pooled features, and a 3x3 convolution for the similarity loss.

    Prediction: average pool to at most 512 * backbone.width features (or to 1 x 1), its kernel doubled along height
    and width by turns, then a linear layer. Similarity: a 3x3 convolution C -> C without bias. Two deviations: weights
    are drawn as in SEDONA's comparison, where the original starts the linear layer at 0; and a side that the kernel
    does not divide gets a smaller last window, where the original pads and may leave pixels out.
    A shape other than (C, H, W) is a UserError.
    """

    def __init__(self, site: Site) -> None:
        super().__init__()
        channels, *sides = image_shape("head predsim", site.shape)
        kernel, features = _pooling(channels, sides, scaled(FEATURES, site.backbone.width))
        self.prediction = nn.Sequential(
            nn.AvgPool2d(kernel, ceil_mode=True), nn.Flatten(), nn.Linear(features, site.num_classes)
        )
        self.projection = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        kaiming(self)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> logits (N, classes)."""
        return self.prediction(h)

    def similarity(self, h: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H, W), whose similarity matrix is matched with the labels'."""
        return self.projection(h)


def _pooling(channels: int, sides: Sequence[int], target: int) -> tuple[tuple[int, int], int]:
    """The kernel, its sides doubled by turns until at most `target` features are left, and how many are."""
    kernel, turn = [1, 1], 0
    while True:
        pooled = [math.ceil(side / k) for side, k in zip(sides, kernel, strict=True)]
        if channels * math.prod(pooled) <= target or pooled == [1, 1]:
            return (kernel[0], kernel[1]), channels * math.prod(pooled)
        kernel[turn] *= 2
        turn = 1 - turn
