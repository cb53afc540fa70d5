"""InfoPro's decoder: the image, read off an activation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from methods.losses import full_precision
from spaces.activation import input_shape
from spaces.layers.layers import Draw, image_shape, kaiming
from spaces.network import PixelScale
from spaces.notation.errors import UserError

HIDDEN = 12


class Decoder(nn.Module):
    """Bilinear upsampling to the image's size, 3x3 convolution to 12 channels, BatchNorm, ReLU, 3x3 convolution to the image's.

    For activations of `shape` (C, H, W) and images of `image`, (C, H, W) too; else a UserError. `pixels` says how the
    images were normalised; without it they are taken as pixels in 0..1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, shape: tuple[int, ...], image: tuple[int, ...], pixels: PixelScale | None, draw: Draw = kaiming) -> None:
        super().__init__()
        if not input_shape(image).plain:
            raise UserError(f"a decoder reconstructs images, but the inputs are {input_shape(image).kind}; take decoder=False")
        inputs, _, _ = image_shape("the decoder", shape)
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

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the pixels' logits, (N, *image)."""
        if list(h.shape[2:]) != self.size:
            h = F.interpolate(h, self.size, mode="bilinear", align_corners=True)
        return self.layers(h)

    def loss(self, h: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Mean binary cross-entropy of the decoded h against the pixels of `images` (N, *image), as they were before
        they were normalised; in float32 also under autocast."""
        logits = self(h)
        with full_precision(h.device):
            target = (images.float() * self.std + self.mean).clamp(0, 1)
            return F.binary_cross_entropy_with_logits(logits.float(), target)
