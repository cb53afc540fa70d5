"""Factories of components: their settings, and those of the wrong kind, which are refused by their signature, uncalled."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from functools import partial
from inspect import Parameter
from typing import Any

from spaces.notation.errors import UserError

Kinds = Any  # a class, or a tuple of several, as isinstance takes them
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def settings_of(factory: Callable[..., Any]) -> dict[str, Parameter]:
    """The keyword-only parameters by name, with resolved annotations."""
    hints = _hints(factory)
    return {
        parameter.name: parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in _parameters(factory)
        if parameter.kind is Parameter.KEYWORD_ONLY
    }


def num_positional(factory: Callable[..., Any]) -> int:
    """How many parameters are given by position."""
    return sum(parameter.kind in _BY_POSITION for parameter in _parameters(factory))


def check_factory(what: str, factory: Callable[..., Any], takes: int, makes: Kinds) -> None:
    """Refuse, with a UserError, what is no factory of `makes` with `takes` values by position, so that a function that does
    something else is never called. A class that is given none may have some with defaults, as a dataclass has."""
    if in_python(_function(factory).__module__ or ""):
        raise UserError(f"{what} must be a function or a class that makes {listed(makes)}, which Python's own library has not")
    try:
        parameters, made = _parameters(factory), factory if inspect.isclass(factory) else _hints(factory).get("return")
    except (ValueError, TypeError, NameError, AttributeError) as error:
        raise UserError(f"{what} must be a Python function or class whose signature can be read, but {error}") from None
    if inspect.isclass(made) and not _may_be(made, makes):
        raise UserError(f"{what} must make {listed(makes)}, but it makes {listed(made)}")
    by_position = [parameter for parameter in parameters if parameter.kind in _BY_POSITION]
    fields = inspect.isclass(factory) and not takes and all(parameter.default is not Parameter.empty for parameter in by_position)
    if not (fields or len(by_position) == takes) or any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        raise UserError(
            f"{what} must take {takes} values by position, and settings behind a *, but it is written "
            f"({', '.join(map(str, parameters))})"
        )


def check_made(what: str, made: object, makes: Kinds) -> None:
    """Refuse what a factory made where it is of another kind."""
    if not isinstance(made, makes):
        raise UserError(f"{what} must make {listed(makes)}, but it makes {listed(type(made))}")


def in_python(module: str) -> bool:
    """Whether the module is of Python's own library."""
    return module.partition(".")[0] in sys.stdlib_module_names


def listed(kinds: Kinds) -> str:
    """`a SearchSpace`, or `an Images or a Texts`."""
    names = [kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
    return " or ".join(f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}" for name in names)


def _function(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, behind decorators and partials."""
    while isinstance(factory, partial):
        factory = factory.func
    return inspect.unwrap(factory)


def _parameters(factory: Callable[..., Any]) -> list[Parameter]:
    if not inspect.isclass(factory):
        return list(inspect.signature(inspect.unwrap(factory)).parameters.values())
    if factory.__init__ is object.__init__:
        return []
    return list(inspect.signature(factory.__init__).parameters.values())[1:]


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else _function(factory))


def _may_be(made: type, makes: Kinds) -> bool:
    """Whether what is said to be a `made` may be one of `makes`. A protocol with data says so only of what is made."""
    try:
        return any(issubclass(made, kind) or issubclass(kind, made) for kind in (makes if isinstance(makes, tuple) else (makes,)))
    except TypeError:
        return True
