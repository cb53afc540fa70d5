"""The shape of whatever a user's network takes: one tensor, several, or a dict of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch.utils._pytree import tree_map_only

from spaces.activation import input_shape
from spaces.notation.errors import UserError


class Part(NamedTuple):
    """One tensor of an input: its key or place, its shape without the batch, and its type, `torch.float32` as a text."""

    key: str
    sizes: tuple[int, ...]
    dtype: str


class ExampleShape(NamedTuple):
    """The shape of inputs that are like an example: `one` tensor, a tuple of `several`, or a dict of `named` ones."""

    form: Literal["one", "several", "named"]
    parts: tuple[Part, ...]

    @property
    def kind(self) -> str:
        """What people call such inputs."""
        return "inputs"

    @property
    def described(self) -> str:
        """Words for a message."""
        return "inputs of " + ", ".join(f"{part.key} {part.sizes}" for part in self.parts)

    @property
    def spaces(self) -> str:
        """Words for a message."""
        return "a space of the network that they are for"

    @property
    def plain(self) -> bool:
        """Whether they are one float tensor."""
        return False

    @property
    def varies(self) -> bool:
        """The sizes are those of the example."""
        return False

    def example(self, size: int, device: torch.device | str) -> Any:
        """Zeros, which are valid as ids too."""
        made = {part.key: torch.zeros(size, *part.sizes, dtype=getattr(torch, part.dtype), device=device) for part in self.parts}
        return self._formed(made)

    def noise(self, size: int, generator: torch.Generator) -> Any:
        """Standard normal where numbers are floats; whole ones are 0 or 1."""

        def of(part: Part) -> torch.Tensor:
            dtype = getattr(torch, part.dtype)
            if dtype.is_floating_point:
                return torch.randn(size, *part.sizes, generator=generator, dtype=dtype)
            return torch.randint(2, (size, *part.sizes), generator=generator).to(dtype)

        return self._formed({part.key: of(part) for part in self.parts})

    def toys(self, y: torch.Tensor, num_classes: int, generator: torch.Generator) -> Any:
        """Noise, in which floats are shifted by the class."""

        def of(part: torch.Tensor) -> torch.Tensor:
            return part + y.view(-1, *(1,) * (part.dim() - 1)) if part.is_floating_point() else part

        return tree_map_only(torch.Tensor, of, self.noise(len(y), generator))

    def cut(self, x: Any) -> Any:
        """As they are."""
        return x

    def _formed(self, made: dict[str, torch.Tensor]) -> Any:
        if self.form == "named":
            return made
        return next(iter(made.values())) if self.form == "one" else tuple(made.values())


def shape_of(example: Any) -> tuple[Any, ...]:
    """The input shape of an example with samples in front: a plain tuple of one float tensor, else an `ExampleShape`.

    Anything but a tensor, a tuple or a dict of tensors is a UserError.
    """
    if isinstance(example, Mapping):  # such as what tokenizers give
        example = dict(example)
    parts = {"x": example} if isinstance(example, torch.Tensor) else example
    if isinstance(parts, tuple | list):
        parts = {str(place): part for place, part in enumerate(parts)}
    fits = isinstance(parts, dict) and parts and all(isinstance(part, torch.Tensor) and part.dim() > 0 for part in parts.values())
    if not fits or not all(str(key).isidentifier() or str(key).isdecimal() for key in parts):
        raise UserError(
            "an example is a tensor with samples in front, a tuple of such (arguments by position) or a dict of such (by name), "
            f"got a {type(example).__name__}; give a batch as the network takes it"
        )
    if isinstance(example, torch.Tensor) and example.is_floating_point():
        return tuple(example.shape[1:])
    form: Literal["one", "several", "named"] = "named" if isinstance(example, dict) else "several"
    if isinstance(example, torch.Tensor):
        form = "one"
    return ExampleShape(form, tuple(Part(str(key), tuple(part.shape[1:]), _dtype(part)) for key, part in parts.items()))


def _dtype(part: torch.Tensor) -> str:
    """As a text; numbers of any precision are in torch's default one, in which networks are traced."""
    dtype = torch.get_default_dtype() if part.is_floating_point() else part.dtype
    return str(dtype).removeprefix("torch.")


def examples_of(shape: tuple[Any, ...]) -> list[Any]:
    """Inputs to trace a network with, without storage: of two and of three samples, and shorter ones where lengths vary."""
    inputs = input_shape(shape)
    examples = [inputs.example(size, "meta") for size in (2, 3)]
    if inputs.varies:
        examples.append(tree_map_only(torch.Tensor, lambda part: part[:, : max(1, part.shape[1] - 1)], examples[0]))
    return examples
