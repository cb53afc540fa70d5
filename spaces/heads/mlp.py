"""A multilayer perceptron on pooled features, for maps, tokens and vectors alike."""

from __future__ import annotations

from torch import nn

from spaces.activation import num_features
from spaces.backbone import Site
from spaces.layers.layers import GlobalAveragePool
from spaces.notation.errors import UserError


def mlp(site: Site, *, depth: int = 1, width: int = 256) -> nn.Module:
    """The mean over space or over a text's tokens, `depth` hidden layers of `width` features with ReLU, and a linear layer.

    A depth or width under 1 is a UserError.

    depth  hidden layers
    width  features of each
    """
    for name, size in (("depth", depth), ("width", width)):
        if size < 1:
            raise UserError(f"the {name} of head mlp is a number from 1 on, got {size}; without hidden layers take linear")
    widths = [num_features(site.shape), *[width] * (depth - 1)]
    layers = [layer for inputs in widths for layer in (nn.Linear(inputs, width), nn.ReLU(inplace=True))]
    return site.backbone.draw(nn.Sequential(GlobalAveragePool(), *layers, nn.Linear(width, site.num_classes)))
