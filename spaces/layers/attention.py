"""Self-attention over a text's own tokens."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Each token's mixture of all tokens of its text; padding is none of them.

    Where the heads do not divide the features, a head's size is rounded up, and the projections are so much wider.
    """

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        width = heads * math.ceil(features / heads)
        self.heads = heads
        self.project = nn.Linear(features, 3 * width)
        self.merge = nn.Linear(width, features)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, T, D) and bool (N, T), True at tokens -> (N, T, D)."""
        queries, keys, contents = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(values).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(queries, keys, contents, attn_mask=mask[:, None, None])
        return self.merge(mixed.transpose(1, 2).flatten(2))
