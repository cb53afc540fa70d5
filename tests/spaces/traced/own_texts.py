"""Networks as users have them, for tests of `module(path=...)`."""

import torch
from torch import nn


class Texts(nn.Module):
    """Ids -> classes, with two layers in a list; a size read early is used late."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))
        self.out = nn.Linear(8, num_classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits (N, num_classes)."""
        count, length = ids.shape
        h = self.embedding(ids)
        for layer in self.layers:
            h = layer(h)
        return self.out(h.reshape(count, length, 8).sum(1) / length)


class Fixed(nn.Module):
    """Images of three channels -> ten classes, whatever is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.out = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 10)."""
        return self.out(self.body(x).flatten(1))


def needing(depth: int) -> nn.Module:
    """A network that cannot be made without a depth."""
    return nn.Linear(depth, depth)


def nothing() -> int:
    """No network."""
    return 3
