"""What heads with convolutions are given: maps, and tokens as a map of one row."""

from __future__ import annotations

import torch
from torch import nn

from spaces.activation import Activation, Tokens, values_of
from spaces.backbone import Site
from spaces.layers.layers import image_shape
from spaces.notation.errors import UserError


class AsMap(nn.Module):
    """Maps as they are, tokens (N, T, D) as a row of pixels (N, D, 1, T)."""

    def forward(self, h: Activation) -> torch.Tensor:
        """An activation -> (N, C, H, W)."""
        values = values_of(h)
        return values.transpose(1, 2)[:, :, None] if values.dim() == 3 else values


def map_at(component: str, site: Site) -> tuple[list[nn.Module], tuple[int, int, int]]:
    """The layers that make a map of the site's activation, and its shape (C, H, W), (D, 1, T) of tokens.

    A map itself needs none. Texts are UserErrors: a convolution with BatchNorm would take padding for tokens; so are vectors.
    """
    if isinstance(site.example, Tokens):
        raise UserError(
            f"{component} takes maps or tokens without padding, got texts; take the head linear, mlp, mlp_sr, predsim or auglocal"
        )
    if len(site.shape) == 2:
        length, features = site.shape
        return [AsMap()], (features, 1, length)
    is_plain = site.example is None or isinstance(site.example, torch.Tensor)
    return [] if is_plain else [AsMap()], image_shape(component, site.shape)
