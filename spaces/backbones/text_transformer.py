"""A Transformer encoder for texts (Vaswani et al. 2017), with layer normalisation first, as Associated Learning has it."""

from __future__ import annotations

import math

import torch
from torch import nn

from spaces.activation import Tokens
from spaces.backbone import Backbone
from spaces.layers.attention import SelfAttention
from spaces.layers.layers import check_sizes, pooled_linear, text_shape, xavier
from spaces.layers.word_embedding import WordEmbedding


def text_transformer(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    depth: int = 4,
    embedding: int = 300,
    attention_heads: int = 4,
    ffn: int = 300,
    encoders: int = 1,
    dropout: float = 0.1,
    positions: bool = False,
) -> Backbone:
    """Word embedding, then `depth` pre-norm Transformer units; texts only.

    depth + 1 units. A unit is `encoders` encoder layers, of so many heads and `ffn` hidden features, and a final LayerNorm.
    The parameter counts of AL's code are those of encoders=2, though it speaks of one layer.
    `positions` adds sines and cosines to the embeddings, which the original has not. The classifier is a linear layer on
    the mean token. Deviations: torch's LayerNorm, whose epsilon is under the root; no dropout of attention's shares, with
    which no fused kernel would be left on a CPU; and a head's size is rounded up where heads do not divide the embedding.

    attention_heads  of a layer
    ffn              hidden features of a layer
    encoders         encoder layers of a unit
    positions        add sines and cosines to the embeddings
    """
    shape = text_shape("backbone transformer", input_shape)
    check_sizes(
        "backbone transformer",
        dropout,
        depth=depth,
        embedding=embedding,
        attention_heads=attention_heads,
        ffn=ffn,
        encoders=encoders,
    )
    layers = [TransformerUnit(embedding, attention_heads, ffn, encoders, dropout, positions and i == 0) for i in range(depth)]
    classifier = pooled_linear(embedding, num_classes)
    return xavier(Backbone([WordEmbedding(shape, embedding), *layers], classifier, input_shape=shape, num_classes=num_classes))


class TransformerUnit(nn.Module):
    """Encoder layers, a final LayerNorm, and positions before them if asked for."""

    def __init__(self, features: int, heads: int, ffn: int, encoders: int, dropout: float, positions: bool) -> None:
        super().__init__()
        self.positions = positions
        self.encoders = nn.ModuleList(Encoder(features, heads, ffn, dropout) for _ in range(encoders))
        self.norm = nn.LayerNorm(features)

    def forward(self, h: Tokens) -> Tokens:
        """Tokens of D features -> tokens of D features."""
        values = h.values + sinusoids(*h.values.shape[1:], like=h.values) if self.positions else h.values
        for encoder in self.encoders:
            values = encoder(values, h.mask)
        return Tokens(self.norm(values), h.mask)


class Encoder(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); both with dropout before they are added."""

    def __init__(self, features: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.attention = SelfAttention(features, heads)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, ffn), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(ffn, features)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, T, D) and bool (N, T) -> (N, T, D)."""
        values = values + self.dropout(self.attention(self.norm(values), mask))
        return values + self.dropout(self.feed_forward(values))


def sinusoids(length: int, features: int, *, like: torch.Tensor) -> torch.Tensor:
    """(T, D): sin(t / 10000^(2 i / D)) in column 2 i and its cosine in column 2 i + 1 (Vaswani et al. 2017, 3.5)."""
    steps = torch.arange(length, device=like.device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, features, 2, device=like.device) * (-math.log(10_000) / features))
    angles = steps[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :features].to(like.dtype)
