"""The smallest head."""

from __future__ import annotations

from torch import nn

from spaces.backbone import Site
from spaces.layers import image_shape, kaiming, pooled_linear


def linear(site: Site) -> nn.Module:
    """Global average pool and a linear layer."""
    channels, _, _ = image_shape("head linear", site.shape)
    return kaiming(pooled_linear(channels, site.num_classes))
