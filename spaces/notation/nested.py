"""A setting that is a component itself, such as the base of `man(base=dgl)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def _unbound(*context: Any, **settings: Any) -> Any:
    """What a default is until a table has bound it."""
    raise TypeError("a Nested default is bound by Table.build; call that in place of the factory")


@dataclass(frozen=True)
class Nested(Generic[T]):
    """A component that a factory takes as a setting: `Table.build` hands it over bound to the table that its name is of.

    The factory annotates the setting with it and need not import the table, which may hold the factory itself:
    `def prefix(..., *, of: Nested[Backbone] = Nested("small"))`. A default is not bound; `Table.build` binds it too.

    spec      `name(setting=value)`, with all settings where it is bound
    factory   what the name stands for, uncalled
    settings  what the factory is given by keyword
    build     calls the factory with the framework's values, which come by position
    """

    spec: str
    factory: Callable[..., T] = field(default=_unbound, compare=False)
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    build: Callable[..., T] = field(default=_unbound, compare=False)

    def __str__(self) -> str:
        return self.spec
