"""What is done to the pixels of a whole batch: windows, mirror images, normalisation, cut-outs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

EVAL_ZOOM = 256 / 224  # for evaluation, the shorter side of an image of any size becomes so many times the size of the crop
Padding = Literal["reflect"] | None  # what lies around an image; None is black


@dataclass(frozen=True)
class Augmentation:
    """What a random batch does to its images; `NONE` leaves them as they are.

    `crop`: the image is padded by so many pixels a side, black ones or, with `padding` "reflect", those on the other
    side of its outermost row or column (InfoPro, ContSup), and a window of its own size is drawn. `flip`: left and right
    are swapped in half of the images. `cutout`: a square of so many pixels a side, its centre uniform over the image,
    becomes the training mean, and what overhangs is dropped (DeVries & Taylor 2017, arXiv 1708.04552). `resized_crop`:
    images that are read from files are cut out at a random place, size and aspect ratio (Szegedy et al. 2015, arXiv
    1409.4842) instead of in their middle.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    padding: Padding = None
    resized_crop: bool = False


NONE = Augmentation()


def windows(
    images: torch.Tensor, pad: int, padding: Padding, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor
) -> torch.Tensor:
    """Of each uint8 (N, H, W, C), mirrored where `flip` is 1 and padded, the (H, W) window at (top, left).

    Every window of every image, mirrored or not, is a view; one lookup copies those that are wanted.
    """
    count, height, width, _ = images.shape
    both = torch.stack([images, images.flip(2)])
    if padding == "reflect":
        padded = both.index_select(2, _reflected(height, pad, both.device)).index_select(3, _reflected(width, pad, both.device))
    else:
        padded = functional.pad(both, (0, 0, pad, pad, pad, pad))
    every = padded.unfold(2, height, 1).unfold(3, width, 1).permute(0, 1, 2, 3, 5, 6, 4)
    return every[flip, torch.arange(count, device=images.device), top, left]


def _reflected(size: int, pad: int, device: torch.device) -> torch.Tensor:
    """Where the places -pad..size + pad - 1 fall when those outside 0..size - 1 are mirrored at its ends; pad < size."""
    last = size - 1
    return last - (last - torch.arange(-pad, size + pad, device=device).abs()).abs()


def row_constants(
    means: Sequence[float], stds: Sequence[float], width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and summand for the W * C numbers of a row: sums over whole rows are vectorised, over C channels not."""
    mean, std = torch.tensor(means, dtype=torch.float64), torch.tensor(stds, dtype=torch.float64)
    factor, summand = 1 / (255 * std), -mean / std
    return factor.repeat(width).to(device, torch.float32), summand.repeat(width).to(device, torch.float32)


def normalised(pixels: torch.Tensor, constants: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """uint8 (N, H, W, C) -> (pixel / 255 - mean) / std, float32 (N, C, H, W) in channels_last."""
    factor, summand = constants
    rows = pixels.reshape(-1, len(factor)).float()
    return torch.addcmul(summand, rows, factor, out=rows).view(pixels.shape).permute(0, 3, 1, 2)


def cut_out(x: torch.Tensor, centre_y: torch.Tensor, centre_x: torch.Tensor, side: int) -> None:
    """Set a square of each (C, H, W), where it lies inside, to 0, which is the mean of normalised pixels."""
    _, channels, height, width = x.shape
    y = torch.arange(height, device=x.device)
    x_of_row = torch.arange(width * channels, device=x.device) // channels  # whole rows, for the reason of row_constants
    hole = _covered(y, centre_y, side)[:, :, None] * _covered(x_of_row, centre_x, side)[:, None, :]
    x.permute(0, 2, 3, 1).view(hole.shape).mul_(1 - hole)


def _covered(places: torch.Tensor, centres: torch.Tensor, side: int) -> torch.Tensor:
    """float32 (N, places): 1 in the `side` places from centre - side // 2 on, else 0."""
    distance = places - (centres[:, None] - side // 2)
    return ((distance >= 0) & (distance < side)).float()
