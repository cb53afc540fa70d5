"""Outputs at every pixel or token, for networks that give such outputs themselves."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from spaces.activation import Activation, num_features, values_of
from spaces.backbone import Site
from spaces.layers.layers import image_shape
from spaces.notation.errors import UserError


def dense(site: Site) -> nn.Module:
    """Of maps a 1x1 convolution and bilinear upsampling to the size of the network's own outputs (C, H, W); of tokens (T, D) a
    linear layer each, where the network's outputs are (T, C).

    Another size of input makes outputs as many times larger than the map as at the size for which the head was built. A
    network whose outputs have other dimensions is a UserError.
    """
    made = site.backbone.output_shape
    if len(made) != len(site.shape) or len(made) < 2 or (len(made) == 2 and made[0] != site.shape[0]):
        raise UserError(
            f"head dense gives outputs at every pixel or token as the network does, got outputs of {made} and activations of "
            f"{tuple(site.shape)}; take the head linear where outputs are one vector a sample"
        )
    if len(made) == 2:
        return site.backbone.draw(Dense(nn.Linear(num_features(site.shape), site.num_classes)))
    channels, *sides = image_shape("head dense", site.shape)
    return site.backbone.draw(Dense(nn.Conv2d(channels, site.num_classes, 1), tuple(zip(made[1:], sides, strict=True))))


class Dense(nn.Module):
    """A layer at every pixel or token, and bilinear resizing of maps by `ratios`, each a pair of sides."""

    def __init__(self, layer: nn.Module, ratios: tuple[tuple[int, int], ...] = ()) -> None:
        super().__init__()
        self.layer, self.ratios = layer, ratios

    def forward(self, h: Activation) -> torch.Tensor:
        """Maps -> (N, C, H, W), tokens -> (N, T, C)."""
        x = self.layer(values_of(h))
        sides = [round(side * made / given) for side, (made, given) in zip(x.shape[2:], self.ratios, strict=False)]
        return F.interpolate(x, size=sides, mode="bilinear", align_corners=False) if sides and sides != [*x.shape[2:]] else x
