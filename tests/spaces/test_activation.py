"""Plain tokens (N, T, D), and activations with constants beside them, answer as maps and vectors do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spaces.activation import (
    Accompanied,
    OwnActivation,
    Tokens,
    activation_name,
    activation_shape,
    combined,
    convolved,
    deviation,
    num_features,
    numbers,
    pooled,
    rows,
    with_features,
)

N, T, D = 4, 7, 3
EVERY_TOKEN = torch.ones(N, T, dtype=torch.bool)


def tokens() -> torch.Tensor:
    return torch.randn(N, T, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_plain_tokens_are_tokens_without_padding() -> None:
    h, conv = tokens(), nn.Conv1d(D, 5, 3, padding=1).double()
    masked = Tokens(h, EVERY_TOKEN)
    torch.testing.assert_close(pooled(h), masked.mean())
    torch.testing.assert_close(deviation(h, 1e-3), masked.deviation(1e-3))
    torch.testing.assert_close(convolved(h, conv), masked.convolved(conv).values)
    assert torch.equal(rows(h, torch.tensor([2, 0])), h[[2, 0]])
    assert (activation_name(h), num_features(activation_shape(h))) == ("tokens", D)
    assert torch.equal(deviation(h[:, :1], 1e-3), h[:, 0].float())


def test_the_gradient_of_a_mean_token_takes_no_memory_of_its_own() -> None:
    h = tokens().requires_grad_()
    (gradient,) = torch.autograd.grad(pooled(h).sum(), h)
    assert gradient.stride(1) == 0


def test_features_join_every_plain_token() -> None:
    h, features, layer = tokens(), torch.randn(N, 2).double(), nn.Linear(D + 2, D).double()
    joined = with_features(h, features, layer)
    for t in range(T):
        torch.testing.assert_close(joined[:, t], layer(torch.cat([h[:, t], features], dim=1)))


@pytest.mark.parametrize("values", [torch.randn(N, 3, 5, 5), tokens(), torch.randn(N, 6)], ids=["maps", "tokens", "vectors"])
def test_what_stands_beside_an_activation_changes_no_answer(values: torch.Tensor) -> None:
    h = Accompanied(values, (EVERY_TOKEN, torch.zeros(1, 2)))
    assert isinstance(h, OwnActivation)
    assert activation_name(h) == activation_name(values) and activation_shape(h) == activation_shape(values)
    assert torch.equal(pooled(h), pooled(values)) and torch.equal(deviation(h, 1e-3), deviation(values, 1e-3))
    assert h.final_state() is None
    if values.dim() == 2:
        return
    width = num_features(values.shape[1:])
    conv = (nn.Conv1d if values.dim() == 3 else nn.Conv2d)(width, 2, 3, padding=1).to(values.dtype)
    assert torch.equal(convolved(h, conv).values, convolved(values, conv))


def test_samples_are_selected_with_their_constants_and_what_all_share_stays() -> None:
    mask, shared = torch.arange(N)[:, None].expand(N, T), torch.zeros(1, T)
    part = rows((Accompanied(tokens(), (mask, shared)), torch.arange(N)), torch.tensor([3, 1]))
    assert torch.equal(part[0].values, tokens()[[3, 1]]) and torch.equal(part[1], torch.tensor([3, 1]))
    assert torch.equal(part[0].constants[0], mask[[3, 1]]) and part[0].constants[1] is shared


def test_sums_and_gradients_leave_constants_out() -> None:
    h = Accompanied(tokens(), (torch.full((N, T), -1e9),))
    total = combined(torch.add, h, h)
    assert torch.equal(total.values, 2 * h.values) and total.constants[0] is h.constants[0]
    assert numbers(h) == [h.values]
