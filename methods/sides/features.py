"""A table beside the inputs: one block is given its features."""

from __future__ import annotations

import torch
from torch import nn

from methods.sides.side import Input, SideInput, SideSite
from spaces.activation import Activation, Tokens, activation_shape, features_beside, values_of, with_features, without_features
from spaces.activation import num_features as features_of
from spaces.notation.errors import UserError


class FeaturesSide(SideInput):
    """Block `block` is given the numbers phi beside the input, concatenated with its activation.

    An activation (N, D) becomes W [h, phi] + b of the same width, a map the same at every pixel, where the original's next
    layer is wider: so blocks stay as they are. W begins as the identity on h and zeros on phi, which disturb nothing that is
    trained already; tokens without padding, such as an image's patches, become it each. The tokens of a text get one more,
    V phi + c, in front. An input without features counts as one with the average
    of each.

    block  which block is given them, from 0 on
    """

    takes_features = True

    def __init__(self, site: SideSite, *, block: int = 1) -> None:
        num_blocks, self.num_features, self.block = site.net.num_blocks, site.num_features, block
        if not self.num_features:
            raise UserError(
                "the side input features gives a block the numbers beside an input, but the task has none; name "
                "columns, as in texts(root=...,features=[age]), take arrays(root=...,features=True), or leave it out"
            )
        if num_blocks < 2:
            raise UserError(
                "the side input features is for a block after the first, but the network is uncut, as it always is "
                "under backprop; cut it, or leave features and side input out"
            )
        if not 1 <= block < num_blocks:
            raise UserError(
                "the side input features is for one of the blocks after the first, of 0 to "
                f"{num_blocks - 1} here, got block={block}; block 0 is given the input itself"
            )
        part = _part(site.net.examples()[block], self.num_features)
        super().__init__(part if k == block else nn.Identity() for k in range(num_blocks))

    def start(self, x: Input) -> torch.Tensor:
        """The carry that block 0 begins with: the input without its features."""
        return without_features(x)

    def given(self, k: int) -> str | None:
        """All features, if this is the block."""
        return "features" if k == self.block else None

    def join(self, k: int, h: Activation, x: Input) -> Activation:
        """Any activation -> one of its shape; a text's tokens are one more."""
        if k != self.block:
            return h
        given = features_beside(x)
        phi = torch.zeros(len(values_of(h)), self.num_features, device=x.device) if given is None else given
        return with_features(h, phi, self.parts[k])


def _part(h: Activation, num_features: int) -> nn.Module:
    """What meets activations like h with their features."""
    shape, width = activation_shape(h), features_of(activation_shape(h))
    if isinstance(h, Tokens):
        return nn.Linear(num_features, width)
    layer = nn.Conv2d(width + num_features, width, 1) if len(shape) == 3 else nn.Linear(width + num_features, width)
    with torch.no_grad():
        layer.weight.zero_().flatten(1).fill_diagonal_(1)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
