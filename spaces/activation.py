"""Inputs and activations as a network sees them: of texts token ids going in, one vector a token between the units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves, tree_map

PADDING, UNKNOWN = 0, 1  # the ids of no token, and of a token that the vocabulary lacks


class TextShape(NamedTuple):
    """The input shape of texts: (N, T) token ids, T at most `length`, each below `num_words`, `PADDING` behind the last."""

    length: int
    num_words: int


class WithFeatures(NamedTuple):
    """An input and the numbers beside it: x as a backbone takes it, features float32 (N, F), standardised."""

    x: torch.Tensor
    features: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.x.device


class Tokens(NamedTuple):
    """The activation of a text network, of which padding is no part.

    values  (N, T, D); what lies at padding is nothing that anyone may read
    mask    bool (N, T), True where there is a token; every text has one at least
    state   what a recurrent unit hands on beside its outputs, (h, c), each (2, N, D / 2): its final states, forward
            and backward; None of other units
    """

    values: torch.Tensor
    mask: torch.Tensor
    state: tuple[torch.Tensor, torch.Tensor] | None = None

    def mean(self) -> torch.Tensor:
        """(N, D): the mean over each text's own tokens; 0 of a text without any, as parts of a text may be."""
        weights = self.mask.to(self.values.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
        return torch.bmm(weights[:, None], self.values.masked_fill(~self.mask[..., None], 0)).squeeze(1)

    def followed_by(self, others: Tokens) -> Tokens:
        """These tokens, then the others: (N, T + T', D), with the state of these."""
        return Tokens(torch.cat([self.values, others.values], dim=1), torch.cat([self.mask, others.mask], dim=1), self.state)


Activation = torch.Tensor | Tokens  # between two units: (N, C, H, W) or (N, D), or tokens


def activation_shape(h: Activation) -> tuple[int, ...]:
    """The shape without the batch: (C, H, W), (D,), or (T, D) of tokens."""
    return tuple((h.values if isinstance(h, Tokens) else h).shape[1:])


def pooled(h: Activation) -> torch.Tensor:
    """(N, features): the mean over pixels or over tokens; what has neither is left as it is."""
    if isinstance(h, Tokens):
        return h.mean()
    # A mean's gradient would be a map of its own, a sum's is one number repeated.
    return h.sum(tuple(range(2, h.dim()))) / h[0, 0].numel() if h.dim() > 2 else h


def combined(function: Callable[..., torch.Tensor], h: Activation, *others: Activation) -> Any:
    """`function` of the activations, tensor by tensor, states too; a mask is the first one's."""
    def of(first: Any, *rest: Any) -> Any:
        return function(first, *rest) if _differentiable(first) else first

    return tree_map(of, h, *others)


def numbers(h: Activation) -> list[torch.Tensor]:
    """The tensors that gradients may flow through, in the order in which `combined` meets them."""
    return list(filter(_differentiable, tree_leaves(h)))


def _differentiable(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_floating_point()


def num_features(shape: tuple[int, ...]) -> int:
    """How many features `pooled` gives for activations of this shape: C of (C, H, W), D of (T, D) and of (D,)."""
    return shape[-1] if len(shape) < 3 else shape[0]


def example_input(shape: tuple[int, ...], batch_size: int, device: torch.device | str) -> torch.Tensor:
    """A batch of inputs of the shape, to run shapes and costs with: texts of full length, or images."""
    if isinstance(shape, TextShape):
        return torch.full((batch_size, shape.length), UNKNOWN, dtype=torch.long, device=device)
    return torch.zeros(batch_size, *shape, device=device)
