"""InfoPro's heads, named by how many convolutions and linear layers they have: 0c1f, 1c2f and 2c2f.

They give logits, or with `embedding` the `feature_dim` features that the contrastive loss compares. Those with a convolution
take tokens (T, D) as a map of one row, on which 3x3 is 1x3, which is ours; on texts and vectors they are UserErrors.
"""

from __future__ import annotations

from torch import nn

from spaces.activation import num_features
from spaces.backbone import Site
from spaces.heads.as_map import map_at
from spaces.layers.layers import GlobalAveragePool, conv_bn_relu, pooled_linear, scaled
from spaces.notation.component import Component
from spaces.notation.errors import UserError


def linear_or_embedding(site: Site, *, feature_dim: int = 128, embedding: bool = False) -> nn.Module:
    """Global average pool and a linear layer, as InfoPro's greedy baseline has it; `feature_dim` is an embedding's. Tokens
    are pooled too."""
    return site.backbone.draw(pooled_linear(num_features(site.shape), _outputs("0c1f", site, feature_dim, embedding)))


def one_conv(site: Site, *, width: float = 1.0, feature_dim: int = 128, embedding: bool = False) -> nn.Module:
    """InfoPro's head: a 3x3 convolution, global average pool, and two linear layers, the first of `feature_dim` features."""
    return _conv_fc("1c2f", 1, site, width, feature_dim, embedding)


def two_convs(site: Site, *, width: float = 1.0, feature_dim: int = 128, embedding: bool = False) -> nn.Module:
    """MAN's default head: 1c2f with a second 3x3 convolution, which has stride 1."""
    return _conv_fc("2c2f", 2, site, width, feature_dim, embedding)


def gives_embedding(head: str) -> bool:
    """Whether the head, written with all its settings, gives an embedding in place of logits."""
    return bool(dict(Component.parse(head).settings).get("embedding"))


def _conv_fc(name: str, convs: int, site: Site, width: float, feature_dim: int, embedding: bool) -> nn.Module:
    """3x3 convolutions with BatchNorm and ReLU, global average pool, a hidden layer with ReLU, and the last layer.

    The first convolution does what the backbone's next stage does: it doubles the channels and has stride 2, unless the
    channels are already as many as at the backbone's end; then it keeps both. On CIFAR ResNets these are the released
    16 -> 32, 32 -> 64 and 64 -> 64; the rule is ours, since the code knows no other channels.
    `width` multiplies the convolutions' channels and the hidden layer.
    """
    first, (channels, _, _) = map_at(f"head {name}", site)
    along_row = len(site.shape) == 2
    widens = channels < num_features(site.backbone.shapes[-1])
    outputs = _outputs(name, site, feature_dim, embedding)
    planes, hidden = scaled(2 * channels if widens else channels, width), scaled(feature_dim, width)
    layers = [*first, conv_bn_relu(channels, planes, 3, stride=2 if widens else 1, along_row=along_row)]
    layers += [conv_bn_relu(planes, planes, 3, along_row=along_row) for _ in range(convs - 1)]
    return site.backbone.draw(
        nn.Sequential(*layers, GlobalAveragePool(), nn.Linear(planes, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))
    )


def _outputs(name: str, site: Site, feature_dim: int, embedding: bool) -> int:
    if feature_dim < 1:
        raise UserError(f"feature_dim of head {name} is a number of features from 1 on, got {feature_dim}; try 128")
    return feature_dim if embedding else site.num_classes
