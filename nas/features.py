"""Features: numbers beside a text or an image, such as further columns of its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from spaces.tokens import WithFeatures


@dataclass(frozen=True, eq=False)
class FeatureScale:
    """(value - mean) / std, one of each a feature, float32 (F,); a feature that never changes becomes 0."""

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, values: torch.Tensor) -> FeatureScale:
        """That makes the mean of these values (N, F) 0 and their standard deviation 1."""
        std, mean = torch.std_mean(values.double(), dim=0, correction=0)
        return cls(mean.float(), torch.where(std > 0, std, 1.0).float())

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """(N, F) -> (N, F)."""
        return (values - self.mean) / self.std


def beside(x: torch.Tensor, features: torch.Tensor | None, index: torch.Tensor) -> Any:
    """The inputs x of a batch as they are, or, where there are features (N, F), with those at `index`: a WithFeatures, which
    side inputs take apart."""
    return x if features is None else WithFeatures(x, features[index.to(features.device)])
