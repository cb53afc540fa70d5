"""A text split over the blocks: each block is given its own slice of the tokens."""

from __future__ import annotations

import copy
from itertools import accumulate, pairwise
from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods.sides.side import Input, SideInput, SideSite
from spaces.activation import PADDING, Activation, Tokens
from spaces.layers.layers import kaiming, text_shape
from spaces.layers.word_embedding import WordEmbedding
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError


class TextSide(SideInput):
    """Block k is given tokens dim_0 + .. + dim_{k-1} to dim_0 + .. + dim_k of the text only.

    dim        how many tokens each block is given, one number a block; their sum is the task's `length`, and 0 is for a
               block that is given none
    embedding  own: block k has a word embedding, which begins as a copy of block 0's and learns with block k · shared: it
               reads that of block 0, and only block 0 trains it

    Where the vectors are not of the width that the block takes, a linear layer follows them. Tokens go behind those that
    the block before has handed on, and a recurrent block still starts from its states. What has no tokens, an activation
    (N, D), becomes the elementwise maximum with the mean of the new ones, where the original has the maximum over those,
    too. A text that ends before its slice is handed on unchanged. Positions of a Transformer that has any are added to
    block 0's tokens alone.
    """

    def __init__(self, site: SideSite, *, dim: tuple[int, ...], embedding: Literal["own", "shared"] = "own") -> None:
        net = site.net
        length = text_shape("the side input text", net.shapes[0]).length
        _check(dim, length, net.num_blocks)
        words = _first_words(net)
        own = embedding == "own"
        super().__init__(_Part(words, own, net.shapes[k][-1]) if k and tokens else nn.Identity() for k, tokens in enumerate(dim))
        object.__setattr__(self, "first", None if own else words)  # which is the net's own
        self.slices = list(pairwise(accumulate(dim, initial=0)))

    def start(self, x: Input) -> torch.Tensor:
        """The first tokens: (N, T) -> (N, up to dim_0)."""
        return cast(torch.Tensor, x)[:, : self.slices[0][1]]

    def given(self, k: int) -> tuple[int, int] | None:
        """The places of its tokens, from the first to the one behind the last."""
        begin, end = self.slices[k]
        return (begin, end) if begin < end else None

    def join(self, k: int, h: Activation, x: Input) -> Activation:
        """Tokens or (N, D), ids (N, T) -> the tokens and the new ones behind them, or (N, D)."""
        ids = cast(torch.Tensor, x)[:, slice(*self.slices[k])]
        if ids.shape[1] == 0:  # the block is given none, or no text of the batch is so long
            return h
        new = cast(_Part, self.parts[k])(ids, self.first)
        # A text that has new tokens fills all places before them, so padding stays behind.
        return _largest(h, new) if isinstance(h, torch.Tensor) else cast(Tokens, h).followed_by(new)

    def reads(self, k: int) -> tuple[int, ...]:
        """Stage 0, where the embedding is shared."""
        return (0,) if k and self.given(k) and self.first else ()


def _first_words(net: DecoupledNet) -> WordEmbedding:
    for module in net.blocks[0].modules():
        if isinstance(module, WordEmbedding):
            return module
    raise UserError(
        "the side input text begins with the first block's word embedding, but that block holds no WordEmbedding; "
        "build the backbone's first unit of one"
    )


class _Part(nn.Module):
    """A block's own word embedding, if it has one, and the linear layer where widths differ."""

    def __init__(self, words: WordEmbedding, own: bool, width: int) -> None:
        super().__init__()
        features = words.words.embedding_dim
        self.embedding = copy.deepcopy(words) if own else None
        self.linear = nn.Identity() if features == width else kaiming(nn.Linear(features, width))

    def forward(self, ids: torch.Tensor, first: WordEmbedding | None) -> Tokens:
        """int64 (N, T) -> tokens (N, T, width)."""
        if self.embedding is not None:
            values = self.embedding(ids).values
        else:
            assert first is not None, "without an embedding of its own a block reads the first one's"
            values = F.embedding(ids, first.words.weight.detach())
        return Tokens(self.linear(values), ids != PADDING)


def _largest(h: torch.Tensor, new: Tokens) -> torch.Tensor:
    """The elementwise maximum with the mean of the new tokens, of texts that have any."""
    return torch.where(new.mask.any(dim=1, keepdim=True), torch.maximum(h, new.mean()), h)


def _check(dim: tuple[int, ...], length: int, num_blocks: int) -> None:
    written = "-".join(map(str, dim))
    if num_blocks < 2:
        raise UserError(
            f"the side input text splits the tokens over blocks, got {written} for a network that is uncut, as "
            "it always is under backprop; cut it, or leave the side input out"
        )
    if len(dim) != num_blocks:
        raise UserError(
            f"the side input text splits the tokens over the blocks, one part a block, got {len(dim)} parts "
            f"{written} for {num_blocks} blocks; give {num_blocks}"
        )
    if dim[0] < 1 or min(dim) < 0 or sum(dim) != length:
        raise UserError(
            f"the parts of a text are tokens, at least one for the first block, {length} in all, the task's length, "
            f"got {written}, {sum(dim)} in all; change the parts, or the task's length"
        )
    if not any(dim[1:]):
        raise UserError(f"the side input text gives tokens to blocks after the first, got {written}; leave it out")
