"""Associated Learning's bridges: from a block's activation to the code that the label has at the same depth."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from spaces.activation import Accompanied, Activation, activation_name, pooled
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError

ActivationName = Literal["tanh", "sigmoid"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
RANGES: dict[ActivationName, tuple[float, float]] = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
HIDDEN = 5  # times as wide as the code, in both codes that have a hidden layer


class Pool(nn.Module):
    """The features of an activation that a bridge is given, (N, features). Written

    quarters the means of an image's four quarters; the mean of all else
    mean     over pixels, or over a text's own tokens
    grid2    grid3, ...: the means of so many times as many parts of the image
    flatten  every pixel of every channel, as in the released image networks; every token of a plain activation
    state    a recurrent block's final states, forward and backward added; the mean where a block has none, such as the
             word embedding's

    A text has no grid and no fixed length to be flattened, an image no states: UserErrors.
    """

    def __init__(self, pooling: str) -> None:
        super().__init__()
        found = re.fullmatch(r"quarters|mean|flatten|state|grid(?P<side>[1-9][0-9]{0,8})", pooling)
        if not found:
            raise UserError(f"pooling is quarters, mean, flatten, state or a grid such as grid2, got {pooling!r}")
        self.pooling, self.side = pooling, int(found["side"] or 0)

    def forward(self, h: Activation) -> torch.Tensor:
        """Maps, vectors or tokens -> (N, features)."""
        if isinstance(h, Accompanied):
            h = h.values
        if self.pooling == "state" and not isinstance(h, torch.Tensor):
            state = h.final_state()
            return h.mean() if state is None else state
        if self.pooling == "quarters" and isinstance(h, torch.Tensor) and h.dim() == 4:
            return F.adaptive_avg_pool2d(h, 2).flatten(1)
        if self.pooling in ("mean", "quarters"):
            return pooled(h)
        if not isinstance(h, torch.Tensor) or self.pooling == "state" or (self.side and h.dim() != 4):
            raise UserError(
                f"pooling={self.pooling} came where a block hands on {activation_name(h)}; state is for recurrent "
                "networks, grid for maps, flatten for all but texts, mean and quarters for all"
            )
        return (F.adaptive_avg_pool2d(h, self.side) if self.side else h).flatten(1)


def bridge(features: int, label_dim: int, depth: Literal[1, 2], activation: ActivationName) -> nn.Sequential:
    """Linear and activation, once or, with a hidden layer of 5 label_dim, twice: (N, features) -> (N, label_dim)."""
    widths = (features, label_dim) if depth == 1 else (features, HIDDEN * label_dim, label_dim)
    layers = [layer for inputs, outputs in pairwise(widths) for layer in (nn.Linear(inputs, outputs), ACTIVATIONS[activation]())]
    return nn.Sequential(*layers)


def num_features(net: DecoupledNet, pool: Pool) -> list[int]:
    """How many features `pool` gives of each block's activation, from a run without storage.

    A pooling that does not fit the activations, or that no block makes use of, is a UserError.
    """
    handed_on = net.examples()[1:]
    if pool.pooling == "state" and all(_has_no_state(h) for h in handed_on):
        raise UserError("pooling=state adds up the final states of a recurrent network, but no block hands on any; take mean")
    return [pool(h).shape[1] for h in handed_on]


def _has_no_state(h: Activation) -> bool:
    """Whether it could have a final state, but has none. A plain tensor cannot, which `Pool` says of it."""
    return not isinstance(h, torch.Tensor) and h.final_state() is None
