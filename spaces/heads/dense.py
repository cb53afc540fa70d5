"""Outputs at every pixel or token, for networks that give such outputs themselves."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from spaces.activation import num_features
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
        return site.backbone.draw(nn.Linear(num_features(site.shape), site.num_classes))
    channels, *sides = image_shape("head dense", site.shape)
    return site.backbone.draw(nn.Sequential(nn.Conv2d(channels, site.num_classes, 1), Resized(tuple(sides), made[1:])))


class Resized(nn.Module):
    """Bilinear resizing by the ratio of two sizes, of maps of any size."""

    def __init__(self, given: tuple[int, ...], made: tuple[int, ...]) -> None:
        super().__init__()
        self.given, self.made = given, made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, H, W)."""
        sides = [round(side * made / given) for side, given, made in zip(x.shape[2:], self.given, self.made, strict=True)]
        return x if sides == list(x.shape[2:]) else F.interpolate(x, size=sides, mode="bilinear", align_corners=False)
