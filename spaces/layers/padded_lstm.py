"""A bidirectional LSTM over padded texts that padding has no part in, by the kernels that torch has for full ones."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F

State = tuple[torch.Tensor, torch.Tensor]

SHUT = 1e4  # sigmoid(-SHUT) is 0 and sigmoid(SHUT) is 1, exactly, in every floating-point type


def padded_lstm(lstm: nn.LSTM, values: torch.Tensor, mask: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
    """Tokens (N, T, D) of `mask` (N, T), from `state` on -> (N, T, 2 H) and the final states: those of each text alone.

    `lstm` has one layer and both directions. The second direction reads each text turned round within its own length, so
    that padding comes last for both. There one more feature shuts the input gates and opens the forget gates: the cells
    stay what they are, to the bit. A packed sequence is as exact, but on a CPU takes 1.6 to 4.9 times as long
    (benchmarks/lstm_padding.py).
    """
    size, length = mask.shape  # not len(), which an exporter takes for a constant
    at_step, texts = mask.t(), torch.arange(size, device=mask.device)  # time first, as the kernels want it
    last, steps = at_step.sum(0) - 1, torch.arange(length, device=mask.device)[:, None]
    turned, ends = torch.where(at_step, last - steps, steps) * size + texts, last * size + texts
    padding = ~at_step[..., None]
    ahead = torch.cat([values.transpose(0, 1).masked_fill(padding, 0), padding.to(values.dtype)], dim=2)
    first_hidden, first_cells = state or (values.new_zeros(2, size, lstm.hidden_size),) * 2
    outputs, hidden, cells = [], [], []
    for i, (suffix, sequence) in enumerate((("", ahead), ("_reverse", _at(turned, ahead)))):
        output, cell = _one_way(
            sequence, (first_hidden[i : i + 1], first_cells[i : i + 1]), _weights(lstm, suffix), lstm.training
        )
        hidden.append(_at(ends, output))
        cells.append(cell[0])
        outputs.append(output)
    outputs[1] = _at(turned, outputs[1])
    return torch.cat([output.transpose(0, 1) for output in outputs], dim=2), (torch.stack(hidden), torch.stack(cells))


def _at(places: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Of values (T, N, F) those at the places t N + n. `gather` is slower, and keeps the values for its backward pass."""
    return values.flatten(0, 1).index_select(0, places.flatten()).view(*places.shape, -1)


def _weights(lstm: nn.LSTM, suffix: str) -> list[torch.Tensor]:
    """Of one direction, with a column for the feature that is 1 at padding."""
    weight, *others = (getattr(lstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    column = weight.new_zeros(4, lstm.hidden_size, 1)  # of the input gates, the forget gates, and two more
    column[0], column[1] = -SHUT, SHUT
    parts = [torch.cat([weight, column.flatten(0, 1)], dim=1), *others]
    # In one piece, as cuDNN wants them: it would copy them there in every call, and warn.
    pieces = torch.cat([part.flatten() for part in parts]).split([part.numel() for part in parts])
    return [piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)]


def _one_way(sequence: torch.Tensor, start: State, weights: list[torch.Tensor], training: bool) -> State:
    """(T, N, D + 1), (h, c) each (1, N, H) -> outputs (T, N, H) and the last cells (1, N, H)."""
    if sequence.is_meta:
        return _shapes_only(sequence, start, weights)
    # oneDNN begins an LSTM in float16 on every CPU, but few have it, and the others fail.
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.float16
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None) if half else nullcontext():
        outputs, _, cells = torch.lstm(sequence, start, weights, True, 1, 0.0, training, False, False)
    return outputs, cells


def _shapes_only(sequence: torch.Tensor, start: State, weights: list[torch.Tensor]) -> State:
    """All steps at once, for costs from shapes: a direction's multiplications and what it keeps, in a few calls, where
    torch makes a dozen for each token. The values would be wrong, and the feature that marks padding multiplies nothing.
    The bytes are those of torch's own kernel, or up to 8 % more; oneDNN's, which float32 takes on a CPU, keeps 2.0 to 2.9
    times as many (benchmarks/lstm_padding.py)."""
    weight, recurrent, bias, recurrent_bias = weights
    before, cell = (part.repeat(len(sequence), 1, 1) for part in start)  # of each step
    gates = F.linear(before, recurrent, recurrent_bias).add_(F.linear(sequence[..., :-1], weight[:, :-1], bias))
    take, keep, new, give = gates.unsafe_chunk(4, dim=-1)
    cells = keep.sigmoid_() * cell + take.sigmoid_() * new.tanh_()
    return give.sigmoid_() * cells.tanh(), cells[-1:]
