"""Small networks whose units hand on plain tokens (N, T, D): a vision transformer of torch's layers, and an MLP-Mixer."""

from __future__ import annotations

import torch
from torch import nn

from spaces.activation import Accompanied
from spaces.backbone import Backbone
from spaces.layers.layers import pooled_linear

PATCH = 4


class Patches(nn.Module):
    """(N, 3, H, W) -> (N, T, D), with a class token in front where it is asked for."""

    def __init__(self, colours: int, features: int, num_patches: int, class_token: bool) -> None:
        super().__init__()
        self.project = nn.Conv2d(colours, features, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, features)) if class_token else None
        self.positions = nn.Parameter(torch.randn(1, num_patches + class_token, features) * 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.project(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1)
        return tokens + self.positions


class FirstToken(nn.Module):
    """The class token, normalised, and a linear layer."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(features), nn.Linear(features, num_classes)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(h)[:, 0])


class Mixer(nn.Module):
    """An MLP over tokens, then one over features."""

    def __init__(self, num_patches: int, features: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(2))
        self.tokens = nn.Sequential(nn.Linear(num_patches, 8), nn.GELU(), nn.Linear(8, num_patches))
        self.features = nn.Sequential(nn.Linear(features, 16), nn.GELU(), nn.Linear(16, features))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        h = h + self.tokens(self.norms[0](h).transpose(1, 2)).transpose(1, 2)
        return h + self.features(self.norms[1](h))


class Masked(nn.Module):
    """A unit that is told which tokens to read by a mask beside them."""

    def __init__(self, unit: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, h: Accompanied) -> Accompanied:
        return h._replace(values=self.unit(h.values, src_key_padding_mask=h.constants[0]))


class WithMask(nn.Module):
    """Patches, with a mask that hides the last of them."""

    def __init__(self, patches: Patches) -> None:
        super().__init__()
        self.patches = patches

    def forward(self, x: torch.Tensor) -> Accompanied:
        values = self.patches(x)
        hidden = torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device)
        hidden[:, -1] = True
        return Accompanied(values, (hidden,))


class OfValues(nn.Module):
    """A classifier that leaves the mask out."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, h: Accompanied) -> torch.Tensor:
        return self.classifier(h.values)


def tiny_vit(
    input_shape: tuple[int, ...], num_classes: int, *, depth: int = 4, features: int = 16, masked: bool = False
) -> Backbone:
    """depth + 1 units, patches of 4 x 4 pixels and a class token; with `masked` a mask stands beside the tokens."""
    colours, height, width = input_shape
    first: nn.Module = Patches(colours, features, height * width // PATCH**2, class_token=True)
    layers: list[nn.Module] = [
        nn.TransformerEncoderLayer(features, 2, 2 * features, dropout=0.0, batch_first=True, norm_first=True)
        for _ in range(depth)
    ]
    last: nn.Module = FirstToken(features, num_classes)
    if masked:
        first, layers, last = WithMask(first), [Masked(layer) for layer in layers], OfValues(last)  # type: ignore[arg-type]
    return Backbone([first, *layers], last, input_shape=input_shape, num_classes=num_classes)


def tiny_mixer(input_shape: tuple[int, ...], num_classes: int, *, depth: int = 4, features: int = 12) -> Backbone:
    """depth + 1 units, patches of 4 x 4 pixels and no class token."""
    colours, height, width = input_shape
    num_patches = height * width // PATCH**2
    layers = [Mixer(num_patches, features) for _ in range(depth)]
    classifier = nn.Sequential(nn.LayerNorm(features), *pooled_linear(features, num_classes))
    return Backbone(
        [Patches(colours, features, num_patches, class_token=False), *layers],
        classifier,
        input_shape=input_shape,
        num_classes=num_classes,
    )
