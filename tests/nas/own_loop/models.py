"""A small model and its batches, as users have them."""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 4


def conv_net(outputs: int = CLASSES, width: int = 8, depth: int = 4) -> nn.Sequential:
    """Blocks with GroupNorm, which computes a sample the same in any batch, and a classifier; float64."""
    torch.manual_seed(0)
    blocks = [
        nn.Sequential(nn.Conv2d(width if k else 3, width, 3, padding=1), nn.GroupNorm(2, width), nn.ReLU()) for k in range(depth)
    ]
    return nn.Sequential(*blocks, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs))).double()


def batch(size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (size, 3, 8, 8) float64 and labels (size,)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 8, 8, generator=generator).double(), torch.randint(CLASSES, (size,), generator=generator)
