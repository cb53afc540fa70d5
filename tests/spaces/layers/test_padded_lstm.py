"""An LSTM over padded texts is torch's own on each text alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nas.strategies.sedona.second_order import twice_differentiable
from spaces.layers.padded_lstm import State, _weights, padded_lstm

INPUTS, HIDDEN = 7, 3
PADDED, EQUAL, LONG = (4, 1, 6, 3), (5, 5, 5), (40, 3, 17)


def an_lstm(inputs: int = INPUTS, hidden: int = HIDDEN) -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)


def drawn(lengths: tuple[int, ...], like: nn.LSTM) -> tuple[torch.Tensor, torch.Tensor, State]:
    """Tokens with something at padding too, their mask, and a start."""
    torch.manual_seed(1)
    dtype = like.weight_ih_l0.dtype
    values = torch.randn(len(lengths), max(lengths), like.input_size, dtype=dtype, requires_grad=True)
    hidden, cells = (torch.randn(2, len(lengths), like.hidden_size, dtype=dtype, requires_grad=True) for _ in range(2))
    return values, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None], (hidden, cells)


def one_by_one(lstm: nn.LSTM, values: torch.Tensor, mask: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
    """What torch says of each text without its padding, put together."""
    outputs, hidden, cells = [], [], []
    for i, length in enumerate(mask.sum(1).tolist()):
        start = None if state is None else (state[0][:, i : i + 1], state[1][:, i : i + 1])
        output, (last, cell) = lstm(values[i : i + 1, :length], start)
        outputs.append(F.pad(output, (0, 0, 0, mask.shape[1] - length)))
        hidden.append(last)
        cells.append(cell)
    return torch.cat(outputs), (torch.cat(hidden, 1), torch.cat(cells, 1))


def all_of(lstm: nn.LSTM, run, values: torch.Tensor, mask: torch.Tensor, state: State | None) -> list[torch.Tensor]:
    """Outputs at tokens, final states, and the gradients of everything that went in."""
    outputs, (hidden, cells) = run(lstm, values, mask, state)
    found = [outputs.masked_fill(~mask[..., None], 0), hidden, cells]
    torch.manual_seed(2)
    loss = sum((part * torch.randn(part.shape)).sum() for part in found)
    return [*found, *torch.autograd.grad(loss, [values, *(state or ()), *lstm.parameters()])]


@pytest.mark.parametrize("handed_on", [True, False])
@pytest.mark.parametrize("lengths", [PADDED, EQUAL, LONG])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_states_and_gradients_are_torchs_own_on_each_text_alone(dtype, lengths, handed_on):
    lstm = an_lstm().to(dtype)
    values, mask, state = drawn(lengths, lstm)
    state = state if handed_on else None
    expected = all_of(lstm, one_by_one, values, mask, state)
    bounds = {"rtol": 1e-10, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(all_of(lstm, padded_lstm, values, mask, state), expected, **bounds)
    with twice_differentiable(lstm):
        torch.testing.assert_close(all_of(lstm, padded_lstm, values, mask, state), expected, **bounds)


def test_so_are_packed_sequences():
    lstm = an_lstm().double()
    values, mask, state = drawn(PADDED, lstm)

    def packed(lstm, values, mask, state):
        sequence = pack_padded_sequence(values, mask.sum(1), batch_first=True, enforce_sorted=False)
        outputs, state = lstm(sequence, state)
        return pad_packed_sequence(outputs, batch_first=True)[0], state

    torch.testing.assert_close(all_of(lstm, padded_lstm, values, mask, state), all_of(lstm, packed, values, mask, state))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_cells_do_not_move_at_padding_by_one_bit(dtype, fused, training):
    lstm = an_lstm(20, 16).to(dtype)
    for p in lstm.parameters():
        p.data *= 30  # gates that are far from their middle too
    hidden, cells = (3 * torch.randn(1, 5, 16, dtype=dtype) for _ in range(2))
    nothing_but_padding = F.pad(torch.zeros(5, 30, 20, dtype=dtype), (0, 1), value=1)
    for suffix in ("", "_reverse"):
        with torch.backends.mkldnn.flags(enabled=fused, allow_tf32=None):
            settings = True, 1, 0.0, training, False, True  # biases, layers, dropout, training, both directions, batch first
            _, _, found = torch.lstm(nothing_but_padding, (hidden, cells), _weights(lstm, suffix), *settings)
        assert torch.equal(found, cells)


def test_what_lies_at_padding_is_not_read_and_has_no_gradient():
    lstm = an_lstm()
    values, mask, state = drawn(PADDED, lstm)
    disturbed = values.detach().masked_fill(~mask[..., None], float("nan")).requires_grad_()
    found, expected = (all_of(lstm, padded_lstm, given, mask, state) for given in (disturbed, values))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    to_values = found[3]
    assert not to_values[~mask].any() and to_values[mask].all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_is_as_near_to_float32_as_torchs_own(dtype):
    lstm = an_lstm(20, 16)
    values, mask, state = drawn(LONG, lstm)
    exact = all_of(lstm, one_by_one, values, mask, state)
    with torch.autocast("cpu", dtype):
        found = all_of(lstm, padded_lstm, values, mask, state)
        with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):  # whose LSTM in float16 not every CPU can run
            theirs = all_of(lstm, one_by_one, values, mask, state)
    for ours, torchs, right in zip(found, theirs, exact, strict=True):
        assert (ours - right).norm() <= 1.5 * (torchs - right).norm() + 1e-3 * right.norm()
        assert (ours - right).norm() < 0.02 * right.norm()
