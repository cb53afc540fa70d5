"""The dotted names in a text, which stand for components that would be imported."""

from __future__ import annotations

from spaces.decoupling import Decoupling
from spaces.notation.component import Component, Literal
from spaces.notation.errors import UserError


def dotted_names(text: str) -> set[str]:
    """Those of a component or a decoupling and of the components in it; none of another text."""
    try:
        return _of_all(Decoupling.parse(text).heads)
    except UserError:
        pass
    try:
        component = Component.parse(text)
    except UserError:
        return set()
    own = {component.name} if "." in component.name or ":" in component.name else set()
    return own | _of_all((*component.positional, *(value for _, value in component.settings)))


def _of_all(values: tuple[Literal, ...]) -> set[str]:
    return set().union(
        *(
            _of_all(value) if isinstance(value, tuple) else dotted_names(value)
            for value in values
            if isinstance(value, str | tuple)
        )
    )
