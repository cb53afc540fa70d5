"""Features: numbers beside a text or an image, such as further columns of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from spaces.activation import WithFeatures


@dataclass(frozen=True, eq=False)
class FeatureScale:
    """(value - mean) / std, one of each a feature, float64 (F,), since values may be large and near each other.

    A feature that never changes becomes 0. `columns` are the features' names in a table; none where they are an array.
    """

    mean: torch.Tensor
    std: torch.Tensor
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: torch.Tensor, columns: Sequence[str] = ()) -> Self:
        """That makes the mean of these values (N, F) 0 and their standard deviation 1."""
        std, mean = torch.std_mean(values.double(), dim=0, correction=0)
        return cls(mean, torch.where(std > 0, std, 1.0), tuple(columns))

    @property
    def facts(self) -> dict[str, Any]:
        """The scale as numbers and names, to be saved."""
        return {"columns": list(self.columns), "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Self:
        """The scale of what `facts` gave."""
        mean, std = (torch.tensor(facts[name], dtype=torch.float64) for name in ("mean", "std"))
        return cls(mean, std, tuple(facts["columns"]))

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Standardise features (N, F), as float32."""
        return ((values.double() - self.mean) / self.std).float()


def beside(x: torch.Tensor, features: torch.Tensor | None, index: torch.Tensor) -> Any:
    """The inputs x of a batch as they are, or, where there are features (N, F), with those at `index`: a WithFeatures, which
    side inputs take apart."""
    return x if features is None else WithFeatures(x, features[index.to(features.device)])
