"""Decouplings of a space as Optuna's parameters, and back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spaces.decoupling import Decoupling
from spaces.space import SearchSpace

if TYPE_CHECKING:  # imported where it searches: whoever only asks what strategies there are does not wait for it
    from optuna.distributions import BaseDistribution


class OptunaPoints:
    """The dimensions of a space that have several choices; with `ordered`, choices are numbers in their order."""

    def __init__(self, space: SearchSpace, *, ordered: bool = False) -> None:
        self.space, self.ordered = space, ordered
        self._dimensions = space.dimensions()

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Of each dimension."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        distributions: dict[str, BaseDistribution] = {}
        for name, choices in self._dimensions.items():
            if len(choices) == 1:
                continue
            if isinstance(choices, range):
                distributions[name] = IntDistribution(choices[0], choices[-1])
            elif self.ordered:
                distributions[name] = IntDistribution(0, len(choices) - 1)
            else:
                distributions[name] = CategoricalDistribution(choices)
        return distributions

    def decode(self, params: Mapping[str, Any]) -> Decoupling:
        """The decoupling that Optuna's parameters name."""
        point: dict[str, int | str] = {}
        for name, choices in self._dimensions.items():
            value = params.get(name, choices[0])
            point[name] = choices[value] if self._is_numbered(name) and name in params else value
        return self.space.decode(point)

    def encode(self, decoupling: Decoupling) -> dict[str, Any]:
        """The decoupling as Optuna's parameters."""
        return {
            name: list(self._dimensions[name]).index(value) if self._is_numbered(name) else value
            for name, value in self.space.encode(decoupling).items()
            if len(self._dimensions[name]) > 1
        }

    def _is_numbered(self, name: str) -> bool:
        return self.ordered and not isinstance(self._dimensions[name], range)
