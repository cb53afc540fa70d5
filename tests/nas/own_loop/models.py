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


class Residual(nn.Module):
    """x + conv(x), with BatchNorm, which has statistics of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


class ResidualNet(nn.Module):
    """A network whose forward is code: a stem, residual blocks and dropout; float64."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(8) for _ in range(3))
        self.classifier = nn.Linear(8, CLASSES)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = nn.functional.dropout(block(x), 0.2, self.training)
        return self.classifier(x.mean((2, 3)))


class Encoder(nn.Module):
    """A transformer that takes token numbers and a mask by name."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True) for _ in range(3))
        self.classifier = nn.Linear(8, CLASSES)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x, hidden = self.embedding(ids), mask == 0
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=hidden)
        return self.classifier(x[:, 0])


def batch(size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (size, 3, 8, 8) float64 and labels (size,)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 8, 8, generator=generator).double(), torch.randint(CLASSES, (size,), generator=generator)
