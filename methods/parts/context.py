"""ContSup's context encoders: what a block is given beside the activation of the block before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from spaces.activation import Activation, input_shape, values_of
from spaces.layers.layers import Draw, kaiming
from spaces.layers.token_grid import as_map
from spaces.notation.errors import UserError

HIDDEN = 12


@dataclass(frozen=True)
class ContextForm:
    """Whose context a block is given: the inputs of the `blocks` blocks before it, and the image."""

    blocks: int
    image: bool

    @staticmethod
    def parse(text: str) -> ContextForm:
        """R0: nothing · Rn: the inputs of the n blocks before · E: the image · RnE: both. Else a UserError."""
        found = re.fullmatch(r"R0|E|R(?P<blocks>[1-9][0-9]{0,8})E?", text)
        if not found:
            raise UserError(
                f"context is R0 (none), R1, R2, ... (the inputs of so many blocks before), E (the image) or both, "
                f"such as R1E, got {text!r}"
            )
        return ContextForm(int(found["blocks"] or 0), text.endswith("E"))

    def sources(self, k: int) -> range:
        """The blocks whose inputs block k is given, the nearest first. With an image encoder, block 0's input, which is
        the image, is none of them."""
        return range(k - 1, max(k - 1 - self.blocks, 0 if self.image else -1), -1)


class Context(nn.Module):
    """What is added to an activation of shape `target`: an encoder of the image where it `encodes_image`, and one for each shape
    of `sources`.

    Image: 3x3 convolution to 12 channels, BatchNorm, ReLU, 3x3 convolution to the target's channels, BatchNorm, ReLU,
    both at the image's size. Block: 1x1 convolution to the target's channels, BatchNorm, ReLU. Each is then pooled to the
    target's size. The convolutions have biases, without use before BatchNorm but counted by the paper. Tokens that are the
    image's patches are taken as the map (D, rows, columns), which is ours; nothing is added to a class token. All else are
    UserErrors.
    """

    def __init__(
        self,
        target: tuple[int, ...],
        image: tuple[int, ...],
        sources: Sequence[tuple[int, ...]],
        draw: Draw = kaiming,
        *,
        encodes_image: bool = True,
    ) -> None:
        super().__init__()
        self.image = None
        if not input_shape(image).plain or len(target) not in (2, 3):
            raise UserError(
                f"contexts are encoded by convolutions over maps, but a block is given the shape {target} of "
                f"{input_shape(image).described}; take context=R0"
            )
        if encodes_image:
            self.image = _encoder((HIDDEN,), 3, image, target, image, draw)
        self.blocks = nn.ModuleList(_encoder((), 1, shape, target, image, draw) for shape in sources)

    def forward(self, image: torch.Tensor, sources: Sequence[Activation]) -> torch.Tensor:
        """(N, *image) and (N, *shape) for each source -> (N, *target)."""
        parts = [encoder(values_of(source)) for encoder, source in zip(self.blocks, sources, strict=True)]
        if self.image is not None:
            parts.append(self.image(image))
        return sum(parts[1:], parts[0])


def _encoder(
    hidden: Sequence[int], kernel: int, source: tuple[int, ...], target: tuple[int, ...], image: tuple[int, ...], draw: Draw
) -> nn.Sequential:
    """Convolutions with BatchNorm and ReLU through `hidden` channels, and an average pool where the sizes differ."""
    (given, *from_size), to_map, _ = as_map("the context encoder", source, image)
    (wanted, *size), _, from_map = as_map("the context encoder", target, image)
    layers: list[nn.Module] = [*to_map]
    for inputs, outputs in pairwise((given, *hidden, wanted)):
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    if size != from_size:
        layers.append(nn.AdaptiveAvgPool2d(tuple(size)))
    return draw(nn.Sequential(*layers, *from_map))
