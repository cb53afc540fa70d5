"""How a plug-in author names what is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def spec_of(component: str | Callable[..., Any]) -> str:
    """The text that names a component, as on the command line: itself, or the dotted path of a class or function."""
    return component if isinstance(component, str) else f"{component.__module__}.{component.__qualname__}"
