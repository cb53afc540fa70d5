"""Networks as users have them, for tests of `module(path=...)`."""

import torch
from torch import nn

OWN = "module(path=own_networks.Skipping)"


class Skipping(nn.Module):
    """Three residual blocks in no list, and a connection that skips the middle one."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.first = Residual(8)
        self.middle = Residual(8)
        self.last = Residual(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, num_classes)."""
        h = self.first(self.stem(x).relu())
        h = self.middle(h) + h
        h = self.last(h)
        return self.head(h.mean((2, 3)))


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map of the same shape."""
        return x + self.conv2(self.norm(self.conv1(x)).relu_())
