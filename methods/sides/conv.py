"""The image once more, for block after block: a convolution of it is added to what the block is given."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from methods.sides.side import Input, SideInput, SideSite
from spaces.activation import Activation, combined
from spaces.layers.layers import image_shape, kaiming
from spaces.layers.token_grid import as_map
from spaces.notation.errors import UserError


class ConvSide(SideInput):
    """Block k >= `first` is given h + ReLU(Conv3x3(image)), without bias; images only.

    In the original the blocks after the first are; a run that is extended has some before that are not.
    The convolution's stride is the ratio of the sizes. Where that is no whole number it is rounded down, and an average pool
    makes up for the rest, which no original network needs. Tokens that are the image's patches are taken as the map that they
    are, which is ours; a class token is given nothing.

    first  the first block that is given the image
    """

    def __init__(self, site: SideSite, *, first: int = 1) -> None:
        net, self.first = site.net, first
        image = image_shape("the side input conv", net.shapes[0])
        if net.num_blocks < 2:
            raise UserError(
                "the side input conv is for the blocks after the first, but the network is uncut, as it always is "
                "under backprop; cut it, or leave the side input out"
            )
        if not 1 <= first < net.num_blocks:
            raise UserError(
                f"the side input conv is for blocks after the first, of 0 to {net.num_blocks - 1} here, got "
                f"first={first}; block 0 is given the image itself"
            )
        super().__init__(nn.Identity() if k < first else _part(image, net.shapes[k]) for k in range(net.num_blocks))

    def start(self, x: Input) -> torch.Tensor:
        """The carry that block 0 begins with: the input, and the image beside it."""
        return cast(torch.Tensor, x)

    def given(self, k: int) -> str | None:
        """The image, from the first block on that is."""
        return "image" if k >= self.first else None

    def join(self, k: int, h: Activation, x: Input) -> Activation:
        """Maps or tokens, image (N, *input_shape) -> an activation of the same shape."""
        if k < self.first:
            return h
        added = self.parts[k](x)
        return combined(lambda part: part + added, h)


def _part(image: tuple[int, int, int], target: tuple[int, ...]) -> nn.Sequential:
    """What one block is given of the image: (N, *image) -> (N, *target)."""
    if len(target) not in (2, 3):
        raise UserError(
            f"the side input conv is added to maps (channels, height, width) and to patches, but a block is given the shape "
            f"{tuple(target)}; cut where there are such"
        )
    (colours, *whole), ((channels, *size), _, from_map) = image, as_map("the side input conv", target, image)
    down, across = (max(1, of // to) for of, to in zip(whole, size, strict=True))
    strided = [(whole[0] - 1) // down + 1, (whole[1] - 1) // across + 1]
    layers = [nn.Conv2d(colours, channels, 3, (down, across), padding=1, bias=False), nn.ReLU(inplace=True)]
    return kaiming(nn.Sequential(*layers, *([] if strided == size else [nn.AdaptiveAvgPool2d(tuple(size))]), *from_map))
