"""Inputs and activations as a network sees them, each of which knows what is asked of its kind.

Most are plain tensors, and so that they stay plain, functions answer for them here: maps (N, C, H, W), vectors (N, D), and
tokens without padding (N, T, D), such as an image's patches. Any
other kind is a NamedTuple with methods: its shape an `InputShape`, such as `TextShape`, and what its units hand on, if that is
no plain tensor, an `OwnActivation`, such as `Tokens`. The functions ask these, so a new kind needs no edit elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

PADDING, UNKNOWN = 0, 1  # the ids of no token, and of a token that the vocabulary lacks


@runtime_checkable
class InputShape(Protocol):
    """The shape of one kind of input."""

    @property
    def kind(self) -> str:
        """What people call such inputs, in the plural: images, texts."""

    @property
    def described(self) -> str:
        """The kind with its sizes, as messages have it."""

    @property
    def spaces(self) -> str:
        """The spaces that take such inputs, as messages have it."""

    @property
    def plain(self) -> bool:
        """Whether inputs and all activations are plain float tensors, whose memory follows from their shapes."""

    @property
    def varies(self) -> bool:
        """Whether batches differ in size beside the number of their samples."""

    def example(self, size: int, device: torch.device | str) -> Any:
        """`size` inputs of the largest size, to run shapes and costs with."""

    def noise(self, size: int, generator: torch.Generator) -> Any:
        """`size` random inputs of the largest size, on the CPU."""

    def toys(self, y: torch.Tensor, num_classes: int, generator: torch.Generator) -> Any:
        """Random inputs, one a label of y int64 (N,), whose class a network soon learns; for tests."""

    def cut(self, x: Any) -> Any:
        """What is left of larger inputs x where they have to fit this shape."""


class PlainShape(NamedTuple):
    """The shape of plain tensors without the batch, (C, H, W) of images, which everywhere else is a plain tuple."""

    sizes: tuple[int, ...]

    @property
    def kind(self) -> str:
        """The kind of input, as saved runs name it."""
        return "images"

    @property
    def described(self) -> str:
        """Words for a message: the inputs with their shape."""
        return f"inputs of the shape {tuple(self.sizes)}"

    @property
    def spaces(self) -> str:
        """Words for a message: a space that takes such inputs."""
        return "a space for images such as resnet18"

    @property
    def plain(self) -> bool:
        """Whether inputs are plain tensors (N, *sizes)."""
        return True

    @property
    def varies(self) -> bool:
        """All images of a task have one size."""
        return False

    def example(self, size: int, device: torch.device | str) -> torch.Tensor:
        """Zeros (size, *sizes)."""
        return torch.zeros(size, *self.sizes, device=device)

    def noise(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """Standard normal (size, *sizes)."""
        return torch.randn(size, *self.sizes, generator=generator)

    def toys(self, y: torch.Tensor, num_classes: int, generator: torch.Generator) -> torch.Tensor:
        """Noise (N, *sizes) about a colour of the class."""
        channels, *others = self.sizes
        colours = torch.randn(num_classes, channels, *[1] * len(others), generator=torch.Generator().manual_seed(99))
        return colours[y] + 0.5 * self.noise(len(y), generator)

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs cut to a length; images stay as they are."""
        return x


class TextShape(NamedTuple):
    """The input shape of texts: (N, T) token ids, T at most `length`, each below `num_words`, `PADDING` behind the last."""

    length: int
    num_words: int

    @property
    def kind(self) -> str:
        """The kind of input, as saved runs name it."""
        return "texts"

    @property
    def described(self) -> str:
        """Words for a message: the inputs with their length."""
        return f"texts of up to {self.length} tokens"

    @property
    def spaces(self) -> str:
        """Words for a message: spaces that take such inputs."""
        return "a space for texts: linear, lstm or transformer"

    @property
    def plain(self) -> bool:
        """Ids go in, and tokens are handed on."""
        return False

    @property
    def varies(self) -> bool:
        """A batch is as long as its longest text."""
        return True

    def example(self, size: int, device: torch.device | str) -> torch.Tensor:
        """Ids (size, length), texts of full length."""
        return torch.full((size, self.length), UNKNOWN, dtype=torch.long, device=device)

    def noise(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """Ids (size, length), texts of full length."""
        return torch.randint(UNKNOWN, self.num_words, (size, self.length), generator=generator)

    def toys(self, y: torch.Tensor, num_classes: int, generator: torch.Generator) -> torch.Tensor:
        """Ids (N, length), padded texts of half the length or more, in which nine words of ten are the class's own."""
        size, words = len(y), (self.num_words - 1) // num_classes  # of each class
        ids = self.noise(size, generator)
        own = torch.rand(size, self.length, generator=generator) < 0.9
        ids[own] = (1 + words * y[:, None] + ids % words)[own]
        lengths = torch.randint(self.length // 2, self.length + 1, (size, 1), generator=generator)
        return ids.masked_fill(torch.arange(self.length) >= lengths, PADDING)

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """The first `length` tokens."""
        return x[:, : self.length]


def input_shape(shape: tuple[int, ...]) -> InputShape:
    """The shape, with its methods: a plain tuple is one of plain tensors."""
    return shape if isinstance(shape, InputShape) else PlainShape(shape)


class WithFeatures(NamedTuple):
    """An input and the numbers beside it: x as a backbone takes it, features float32 (N, F), standardised."""

    x: torch.Tensor
    features: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.x.device


def without_features(x: Any) -> Any:
    """An input without the numbers beside it, if there are any."""
    return x.x if isinstance(x, WithFeatures) else x


def features_beside(x: Any) -> torch.Tensor | None:
    """The numbers (N, F) beside an input; None without any."""
    return x.features if isinstance(x, WithFeatures) else None


@runtime_checkable
class OwnActivation(Protocol):
    """What units hand on where it is no plain tensor; a NamedTuple of tensors and of such, so that gradients are found in it."""

    @property
    def values(self) -> torch.Tensor:
        """Its numbers, samples in front."""

    @property
    def name(self) -> str:
        """What people call it, in the plural."""

    def mean(self) -> torch.Tensor:
        """(N, D): the mean of each feature."""

    def deviation(self, least_variance: float) -> torch.Tensor:
        """float32 (N, D): the standard deviation of each feature, with `least_variance` added to the variance."""

    def final_state(self) -> torch.Tensor | None:
        """(N, D): what a recurrent unit ends with; None of other units."""

    def rows(self, index: torch.Tensor) -> Any:
        """That of the samples at `index` int64 (n,) alone."""

    def convolved(self, layer: nn.Module) -> Any:
        """A convolution over its places, which keeps their number; padding counts as 0."""

    def with_features(self, features: torch.Tensor, layer: nn.Module) -> Any:
        """Joined with the numbers (N, F) by what `methods.sides.features` learns, `layer`."""


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

    @property
    def name(self) -> str:
        """What messages call such an activation."""
        return "tokens"

    def deviation(self, least_variance: float) -> torch.Tensor:
        """float32 (N, D): over each text's own tokens, with `least_variance` added to the variance."""
        h = self._replace(values=self.values.float())
        deviations = h.values - h.mean()[:, None]
        return (h._replace(values=deviations.square()).mean() + least_variance).sqrt()

    def final_state(self) -> torch.Tensor | None:
        """(N, D / 2): forward and backward added."""
        return None if self.state is None else self.state[0].sum(0)

    def rows(self, index: torch.Tensor) -> Tokens:
        """The texts at `index`, without the columns behind the last token of all of them."""
        mask = self.mask[index]
        longest = int(mask.any(0).nonzero()[-1]) + 1
        state = self.state and (self.state[0][:, index], self.state[1][:, index])
        return Tokens(self.values[:, :longest].index_select(0, index), mask[:, :longest], state)

    def convolved(self, layer: nn.Module) -> Tokens:
        """A convolution over neighbouring tokens, (N, D, T) -> (N, D', T); without a state."""
        values = self.values.masked_fill(~self.mask[..., None], 0)
        return Tokens(layer(values.transpose(1, 2)).transpose(1, 2), self.mask)

    def with_features(self, features: torch.Tensor, layer: nn.Module) -> Tokens:
        """One more token, `layer` of the features, in front."""
        one = torch.ones(features.shape[0], 1, dtype=torch.bool, device=features.device)
        return Tokens(layer(features)[:, None], one, self.state).followed_by(self)


class Accompanied(NamedTuple):
    """A plain activation, with tensors beside it that units read and hand on as they are, such as an attention mask.

    values     maps (N, C, H, W), tokens (N, T, D) or vectors (N, D), of which alone heads and losses are made
    constants  no gradient flows through them: they depend on the input and on no parameter; those with samples in front,
               (N, ...), are selected with them; tensors, or tuples of such
    mask       (N, T), not 0 where there is a token, of tokens of which some are padding; None: all are tokens, or none is
    """

    values: torch.Tensor
    constants: tuple[Any, ...]
    mask: torch.Tensor | None = None

    @property
    def name(self) -> str:
        """What messages call such an activation: as its values."""
        return activation_name(self.values)

    def mean(self) -> torch.Tensor:
        """(N, features): that of the values, of tokens without padding."""
        return pooled(self._alone)

    def deviation(self, least_variance: float) -> torch.Tensor:
        """float32 (N, features): that of the values, of tokens without padding."""
        return deviation(self._alone, least_variance)

    def final_state(self) -> None:
        """None: no unit that hands on such an activation is recurrent."""
        return None

    def rows(self, index: torch.Tensor) -> Accompanied:
        """Values and constants of the samples at `index`; a constant that all samples share stays whole."""
        size = len(self.values)

        def of(constant: torch.Tensor) -> torch.Tensor:
            return constant[index] if constant.shape[:1] == (size,) else constant

        mask = None if self.mask is None else self.mask[index]
        return Accompanied(self.values[index], tree_map_only(torch.Tensor, of, self.constants), mask)

    def convolved(self, layer: nn.Module) -> Accompanied:
        """The values convolved; padding counts as 0."""
        return self._replace(values=values_of(convolved(self._alone, layer)))

    def with_features(self, features: torch.Tensor, layer: nn.Module) -> Accompanied:
        """The values joined with the features."""
        return self._replace(values=cast(torch.Tensor, with_features(self.values, features, layer)))

    @property
    def _alone(self) -> torch.Tensor | Tokens:
        """The values, with what tells tokens from padding."""
        return self.values if self.mask is None else Tokens(self.values, self.mask != 0)


Activation = torch.Tensor | Tokens | Accompanied  # between two units; or another `OwnActivation`


def values_of(h: Activation) -> torch.Tensor:
    """The tensor of an activation's numbers (N, ...)."""
    return h if isinstance(h, torch.Tensor) else h.values


def activation_shape(h: Activation) -> tuple[int, ...]:
    """The shape without the batch: (C, H, W), (D,), or (T, D) of tokens."""
    return tuple(values_of(h).shape[1:])


def pooled(h: Activation) -> torch.Tensor:
    """(N, features): the mean over pixels or over tokens; what has neither is left as it is."""
    if not isinstance(h, torch.Tensor):
        return h.mean()
    places = _places(h)
    # A mean's gradient would be a map of its own, a sum's is one number repeated.
    return h.sum(places) / prod([h.shape[place] for place in places]) if places else h


def deviation(h: Activation, least_variance: float) -> torch.Tensor:
    """float32 (N, features): the standard deviation over pixels or tokens, with `least_variance` added to the variance; the
    values of what has only one a feature."""
    if not isinstance(h, torch.Tensor):
        return h.deviation(least_variance)
    v = h.float()[:, :, None] if h.dim() == 2 else h.float().transpose(1, 2) if h.dim() == 3 else h.float().flatten(2)
    return (v.var(dim=2, correction=0) + least_variance).sqrt() if v.shape[2] > 1 else v.squeeze(2)


def _places(h: torch.Tensor) -> tuple[int, ...]:
    """The dimensions of a plain activation that are neither samples nor features: pixels, tokens; none of vectors."""
    return (1,) if h.dim() == 3 else tuple(range(2, h.dim()))


def rows(carry: Any, index: torch.Tensor) -> Any:
    """All activations and tensors in `carry`, of the samples at `index` int64 (n,) alone."""

    def of(leaf: Any) -> Any:
        if isinstance(leaf, OwnActivation):
            return leaf.rows(index)
        return leaf[index] if isinstance(leaf, torch.Tensor) else leaf

    return tree_map(of, carry, is_leaf=lambda leaf: isinstance(leaf, OwnActivation))


def convolved(h: Activation, layer: nn.Module) -> Activation:
    """A convolution over pixels or neighbouring tokens, (N, D, T) -> (N, D', T); of vectors `layer` itself."""
    if not isinstance(h, torch.Tensor):
        return h.convolved(layer)
    return layer(h.transpose(1, 2)).transpose(1, 2) if h.dim() == 3 else layer(h)


def with_features(h: Activation, features: torch.Tensor, layer: nn.Module) -> Activation:
    """`layer` of a plain activation with the features (N, F) behind its own, the same at every pixel or token;
    `Tokens` have one more in front, `layer` of the features."""
    if not isinstance(h, torch.Tensor):
        return h.with_features(features, layer)
    if h.dim() == 3:
        return layer(torch.cat([h, features[:, None].expand(-1, h.shape[1], -1)], dim=2))
    maps = features.view(*features.shape, *(1,) * (h.dim() - 2)).expand(*features.shape, *h.shape[2:])
    return layer(torch.cat([h, maps], dim=1))


def activation_name(h: Activation) -> str:
    """What people call such activations: maps, vectors, tokens."""
    if not isinstance(h, torch.Tensor):
        return h.name
    return {2: "vectors", 3: "tokens"}.get(h.dim(), "maps")


def combined(function: Callable[..., torch.Tensor], h: Activation, *others: Activation) -> Any:
    """`function` of the activations, tensor by tensor, states too; masks and constants are the first one's."""

    def of(first: Any, *rest: Any) -> Any:  # not recursive: the cycle would keep alive what `function` holds
        if isinstance(first, Accompanied):
            return first._replace(values=function(first.values, *(other.values for other in rest)))
        return function(first, *rest) if _differentiable(first) else first

    return tree_map(of, h, *others, is_leaf=_is_accompanied)


def numbers(h: Activation) -> list[torch.Tensor]:
    """The tensors that gradients may flow through, in the order in which `combined` meets them."""
    leaves = (leaf.values if _is_accompanied(leaf) else leaf for leaf in tree_leaves(h, is_leaf=_is_accompanied))
    return list(filter(_differentiable, leaves))


def _differentiable(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_floating_point()


def _is_accompanied(leaf: Any) -> bool:
    return isinstance(leaf, Accompanied)


def num_features(shape: tuple[int, ...]) -> int:
    """How many features `pooled` gives for activations of this shape: C of (C, H, W), D of (T, D) and of (D,)."""
    return shape[-1] if len(shape) < 3 else shape[0]


def example_input(shape: tuple[int, ...], batch_size: int, device: torch.device | str) -> Any:
    """A batch of inputs of the shape, to run shapes and costs with: texts of full length, or images."""
    return input_shape(shape).example(batch_size, device)
