"""InfoPro's decoder: the image, read off an activation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from methods.losses import full_precision
from spaces.activation import Activation, input_shape, values_of
from spaces.layers.layers import Draw, image_shape, kaiming
from spaces.layers.token_grid import as_map
from spaces.network import PixelScale
from spaces.notation.errors import UserError

HIDDEN = 12


class Decoder(nn.Module):
    """Bilinear upsampling to the image's size, 3x3 convolution to 12 channels, BatchNorm, ReLU, 3x3 convolution to the image's.

    For activations of `shape` and images of `image` (C, H, W): maps, or tokens that are the image's patches, which is ours
    (a class token in front is left out); else a UserError. `pixels` says how the images were normalised; without it they
    are taken as pixels in 0..1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, shape: tuple[int, ...], image: tuple[int, ...], pixels: PixelScale | None, draw: Draw = kaiming) -> None:
        super().__init__()
        if not input_shape(image).plain:
            raise UserError(f"a decoder reconstructs images, got {input_shape(image).described}; take decoder=False")
        (inputs, *_), layers, _ = as_map("the decoder", shape, image)
        self.to_map = nn.Sequential(*layers)
        colours, *self.size = image_shape("the decoder", image)
        scale = pixels or PixelScale((0.0,), (1.0,))
        self.register_buffer("mean", torch.tensor(scale.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(scale.std)[:, None, None], persistent=False)
        self.layers = draw(
            nn.Sequential(
                nn.Conv2d(inputs, HIDDEN, 3, padding=1),
                nn.BatchNorm2d(HIDDEN),
                nn.ReLU(inplace=True),
                nn.Conv2d(HIDDEN, colours, 3, padding=1),
            )
        )

    def forward(self, h: Activation) -> torch.Tensor:
        """An activation -> the pixels' logits, (N, *image)."""
        maps = self.to_map(values_of(h))
        if list(maps.shape[2:]) != self.size:
            maps = F.interpolate(maps, self.size, mode="bilinear", align_corners=True)
        return self.layers(maps)

    def loss(self, h: Activation, images: torch.Tensor) -> torch.Tensor:
        """Mean binary cross-entropy of the decoded h against the pixels of `images` (N, *image), as they were before
        they were normalised; in float32 also under autocast."""
        logits = self(h)
        with full_precision(logits.device):
            target = (images.float() * self.std + self.mean).clamp(0, 1)
            return F.binary_cross_entropy_with_logits(logits.float(), target)
