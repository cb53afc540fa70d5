"""The first unit of a text network: one vector a word."""

from __future__ import annotations

import torch
from torch import nn

from spaces.activation import PADDING, TextShape, Tokens
from spaces.notation.errors import UserError


class WordEmbedding(nn.Module):
    """Token ids -> their words' vectors, which learn. That of padding is 0 and stays so."""

    def __init__(self, shape: TextShape, features: int) -> None:
        super().__init__()
        self.words = nn.Embedding(shape.num_words, features, padding_idx=PADDING)

    def forward(self, ids: torch.Tensor) -> Tokens:
        """int64 (N, T) -> tokens of D = `features`."""
        return Tokens(self.words(ids), ids != PADDING)

    @torch.no_grad()
    def load_vectors(self, vectors: torch.Tensor) -> None:
        """Start from `vectors` (num_words, D), row by row; another shape is a UserError."""
        rows, features = self.words.weight.shape
        if vectors.shape != (rows, features):
            raise UserError(
                f"the word vectors are {vectors.shape[1]} numbers for each of {vectors.shape[0]} words, but the "
                f"backbone has {features} for each of {rows}; set its embedding={vectors.shape[1]}, or take vectors "
                f"of {features} numbers"
            )
        self.words.weight.copy_(vectors)
        self.words.weight[PADDING] = 0
