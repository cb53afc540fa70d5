"""The smallest head."""

from __future__ import annotations

from torch import nn

from spaces.activation import num_features
from spaces.backbone import Site
from spaces.layers.layers import pooled_linear


def linear(site: Site) -> nn.Module:
    """The mean over space, or over a text's tokens, and a linear layer; at a site of vectors the linear layer alone."""
    return site.backbone.draw(pooled_linear(num_features(site.shape), site.num_classes))
