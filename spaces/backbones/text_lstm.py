"""Bidirectional LSTM layers for texts (Hochreiter and Schmidhuber 1997), as Associated Learning has them."""

from __future__ import annotations

from torch import nn

from spaces.activation import Tokens
from spaces.backbone import Backbone
from spaces.layers.layers import check_sizes, kaiming, pooled_linear, text_shape
from spaces.layers.padded_lstm import padded_lstm
from spaces.layers.word_embedding import WordEmbedding


def text_lstm(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    depth: int = 4,
    embedding: int = 300,
    hidden: int = 300,
    dropout: float = 0.0,
) -> Backbone:
    """Word embedding, then `depth` bidirectional LSTM layers, each from the final states of the one before; texts only.

    depth + 1 units, of `hidden` features in each direction. The classifier is a linear
    layer on the mean token. `dropout` is of the tokens that a layer is given, not of the states. The final states are handed
    on in training and inference alike, detached where a block ends, which two released codes of Associated Learning do not
    (DeInfoReg's layers each start at zeros).
    """
    shape = text_shape("backbone lstm", input_shape)
    check_sizes("backbone lstm", dropout, depth=depth, embedding=embedding, hidden=hidden)
    widths = [embedding, *[2 * hidden] * (depth - 1)]
    units = [WordEmbedding(shape, embedding), *(LSTMLayer(inputs, hidden, dropout) for inputs in widths)]
    return kaiming(Backbone(units, pooled_linear(2 * hidden, num_classes), input_shape=shape, num_classes=num_classes))


class LSTMLayer(nn.Module):
    """One bidirectional layer; it hands its final states on. Padding has no part in it, forward or backward."""

    def __init__(self, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tokens) -> Tokens:
        """Tokens of D features, their state the start if there is one -> tokens of 2 * hidden features."""
        outputs, state = padded_lstm(self.lstm, self.dropout(h.values), h.mask, h.state)
        return Tokens(outputs, h.mask, state)
