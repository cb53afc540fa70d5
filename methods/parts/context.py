"""ContSup's context encoders: what a block is given beside the activation of the block before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from spaces.layers.layers import Draw, image_shape, kaiming
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
    """What is added to an activation of shape `target`: an encoder of the image, and one for each shape of `sources`.

    Image: 3x3 convolution to 12 channels, BatchNorm, ReLU, 3x3 convolution to the target's channels, BatchNorm, ReLU,
    both at the image's size. Block: 1x1 convolution to the target's channels, BatchNorm, ReLU. Each is then pooled to the
    target's size. The convolutions have biases, without use before BatchNorm but counted by the paper. Shapes other than
    (C, H, W) are UserErrors.
    """

    def __init__(
        self, target: tuple[int, ...], image: tuple[int, ...] | None, sources: Sequence[tuple[int, ...]], draw: Draw = kaiming
    ) -> None:
        super().__init__()
        self.image = None
        if len(target) != 3:
            raise UserError(
                f"contexts are encoded by convolutions over maps, but a block is given the shape {target}; take context=R0"
            )
        if image is not None:
            colours, *_ = image_shape("the context encoder", image)
            self.image = _encoder((colours, HIDDEN, target[0]), 3, image, target, draw)
        self.blocks = nn.ModuleList(_encoder((shape[0], target[0]), 1, shape, target, draw) for shape in sources)

    def forward(self, image: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, *image) and (N, *shape) for each source -> (N, *target)."""
        parts = [encoder(source) for encoder, source in zip(self.blocks, sources, strict=True)]
        if self.image is not None:
            parts.append(self.image(image))
        return sum(parts[1:], parts[0])


def _encoder(channels: Sequence[int], kernel: int, source: tuple[int, ...], target: tuple[int, ...], draw: Draw) -> nn.Sequential:
    """Convolutions with BatchNorm and ReLU through `channels`, and an average pool where the sizes differ."""
    image_shape("the context encoder", source)
    _, *size = image_shape("the context encoder", target)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    if size != list(source[1:]):
        layers.append(nn.AdaptiveAvgPool2d(tuple(size)))
    return draw(nn.Sequential(*layers))
