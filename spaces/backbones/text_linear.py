"""A bag of embeddings and fully connected layers on it: Associated Learning's `linear` network for texts."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from spaces.activation import Activation, pooled
from spaces.backbone import Backbone
from spaces.layers.layers import check_sizes, kaiming, pooled_linear, text_shape
from spaces.layers.word_embedding import WordEmbedding


def text_linear(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    depth: int = 4,
    embedding: int = 300,
    hidden: int = 300,
    dropout: float = 0.0,
) -> Backbone:
    """Word embedding, then `depth` linear layers with ELU of which the first is given the mean embedding; texts only.

    depth + 1 units. The classifier is a linear layer. `dropout` is
    of what a layer is given. Weights are drawn as everywhere here, where the original has Xavier's.
    """
    shape = text_shape("backbone linear", input_shape)
    check_sizes("backbone linear", dropout, depth=depth, embedding=embedding, hidden=hidden)
    widths = [embedding, *[hidden] * (depth - 1)]
    units = [WordEmbedding(shape, embedding), *(LinearLayer(inputs, hidden, dropout) for inputs in widths)]
    return kaiming(Backbone(units, pooled_linear(hidden, num_classes), input_shape=shape, num_classes=num_classes))


class LinearLayer(nn.Module):
    """ELU(W h + b) of a vector, or of the mean of a text's tokens."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Activation) -> torch.Tensor:
        """Tokens or (N, inputs) -> (N, outputs)."""
        return F.elu(self.linear(self.dropout(pooled(h))))
