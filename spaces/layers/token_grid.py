"""Tokens that are the patches of an image, laid out as a map."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from torch import nn

from spaces.activation import input_shape
from spaces.layers.layers import image_shape
from spaces.notation.errors import UserError

IN_FRONT = range(3)  # a class token, and one of distillation, as DeiT has it


@dataclass(frozen=True)
class TokenGrid:
    """`in_front` tokens that are no patches, then rows x columns patches, row by row."""

    in_front: int
    rows: int
    columns: int

    @staticmethod
    def of(component: str, num_tokens: int, image: tuple[int, ...]) -> TokenGrid:
        """The grid of the image's proportions that so many tokens make, with as few in front as can be; none is a UserError."""
        if input_shape(image).plain and len(image) == 3:
            _, height, width = image
            for in_front in IN_FRONT:
                patches = num_tokens - in_front
                rows = isqrt(max(0, patches * height // width))
                if rows and rows * width % height == 0 and rows * (columns := rows * width // height) == patches:
                    return TokenGrid(in_front, rows, columns)
        raise UserError(
            f"{component} lays tokens out as patches of the image, got {num_tokens} tokens of {input_shape(image).described}, "
            "which are no grid"
        )

    def to_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, T, D) -> (N, D, rows, columns), without the tokens in front."""
        return tokens[:, self.in_front :].transpose(1, 2).unflatten(2, (self.rows, self.columns))

    def to_tokens(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, D, rows, columns) -> (N, T, D), 0 at the tokens in front."""
        return nn.functional.pad(maps.flatten(2).transpose(1, 2), (0, 0, self.in_front, 0))


class AsMap(nn.Module):
    """Tokens of a grid -> the map that they are."""

    def __init__(self, grid: TokenGrid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, T, D) -> (N, D, rows, columns)."""
        return self.grid.to_map(tokens)


class AsTokens(nn.Module):
    """A map -> the tokens of a grid."""

    def __init__(self, grid: TokenGrid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, D, rows, columns) -> (N, T, D)."""
        return self.grid.to_tokens(maps)


def as_map(
    component: str, shape: tuple[int, ...], image: tuple[int, ...]
) -> tuple[tuple[int, int, int], list[AsMap], list[AsTokens]]:
    """The map (C, H, W) that activations of `shape` are, what makes it of them, and what makes such activations of a map: no
    layers where they are maps. What is neither a map nor patches of `image` is a UserError."""
    if len(shape) != 2:
        return image_shape(component, shape), [], []
    grid = TokenGrid.of(component, shape[0], image)
    return (shape[1], grid.rows, grid.columns), [AsMap(grid)], [AsTokens(grid)]
