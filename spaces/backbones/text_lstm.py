"""Bidirectional LSTM layers for texts (Hochreiter and Schmidhuber 1997), as Associated Learning has them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from spaces.backbone import Backbone
from spaces.layers import check_sizes, kaiming, pooled_linear, text_shape
from spaces.packing import packed
from spaces.tokens import Tokens
from spaces.word_embedding import WordEmbedding

State = tuple[torch.Tensor, torch.Tensor]


def text_lstm(input_shape: tuple[int, ...], num_classes: int, *, depth: int = 4, embedding: int = 300, hidden: int = 300,
              dropout: float = 0.0) -> Backbone:
    """Word embedding, then `depth` bidirectional LSTM layers, each from the final states of the one before; texts only.

    depth + 1 units, of `hidden` features in each direction (associated_learning.md 2.1, 2.3). The classifier is a linear
    layer on the mean token. `dropout` is of the tokens that a layer is given, not of the states.
    """
    shape = text_shape("backbone lstm", input_shape)
    check_sizes("backbone lstm", dropout, depth=depth, embedding=embedding, hidden=hidden)
    widths = [embedding, *[2 * hidden] * (depth - 1)]
    units = [WordEmbedding(shape, embedding), *(LSTMLayer(inputs, hidden, dropout) for inputs in widths)]
    return kaiming(Backbone(units, pooled_linear(2 * hidden, num_classes), input_shape=shape, num_classes=num_classes))


class LSTMLayer(nn.Module):
    """One bidirectional layer; it hands its final states on. Padding never enters it, forward or backward."""

    def __init__(self, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tokens) -> Tokens:
        """Tokens of D features, their state the start if there is one -> tokens of 2 * hidden features."""
        values = self.dropout(h.values)
        if values.is_meta:
            outputs, state = self._shapes_only(values, h.state)
        elif h.mask.all():
            outputs, state = self.lstm(values, h.state)
        else:
            without_padding, unpack = packed(values, h.mask)
            (rows, *_), state = self.lstm(without_padding, h.state)
            outputs = unpack(rows)
        return Tokens(outputs, h.mask, state)

    def _shapes_only(self, values: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """All steps at once, for costs from shapes: a layer's multiplications and what it keeps, in a few calls, where
        torch makes a dozen for each token. The values would be wrong. What packing copies is not in it, some 15 % of
        the bytes; the CPU's kernel for texts without padding keeps twice as much."""
        hidden = self.lstm.hidden_size
        start = values.new_zeros(2, len(values), hidden)
        before, cell = (part[:, :, None].repeat(1, 1, values.shape[1], 1) for part in state or (start, start))  # of each step
        outputs, last_cells = [], []
        for i, suffix in enumerate(("", "_reverse")):
            weight, recurrent, bias, recurrent_bias = (getattr(self.lstm, f"{name}_l0{suffix}")
                                                       for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            gates = F.linear(before[i], recurrent, recurrent_bias).add_(F.linear(values, weight, bias))
            take, keep, new, give = gates.unsafe_chunk(4, dim=-1)
            cells = keep.sigmoid_() * cell[i] + take.sigmoid_() * new.tanh_()
            outputs.append(give.sigmoid_() * cells.tanh())
            last_cells.append(cells[:, -1])
        return torch.cat(outputs, dim=-1), (torch.stack([one[:, -1] for one in outputs]), torch.stack(last_cells))
