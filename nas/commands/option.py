"""Options: a frozen dataclass a command, whose fields are its flags, its keys in a YAML file and its keywords in Python."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from nas.records.results import Results
from spaces.decoupling import Decoupling
from spaces.notation.component import Component
from spaces.notation.errors import UserError, unknown

Options = TypeVar("Options")
Function = TypeVar("Function", bound=Callable[..., Any])
_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", Path: "a path", Results: "a folder"}


@dataclass(frozen=True)
class Described:
    """What a field says of itself beside its type and its default.

    metavar           what its value is called in the help
    components        whether its values may name components, which may be a user's own
    in_file           whether a configuration file may hold it
    positional        whether the shell takes it without a flag
    repeated          whether several values come by repeating the flag, and not side by side
    may_be_empty      whether the flag may come without a value
    excludes          a name that options share of which one at most may be given
    choices           the values that there are, where they are few
    former            a flag of earlier versions that means the same, and is still taken, so that old scripts run
    """

    help: str
    metavar: str | None = None
    components: bool = False
    in_file: bool = True
    positional: bool = False
    repeated: bool = False
    may_be_empty: bool = False
    excludes: str | None = None
    choices: tuple[str, ...] | None = None
    former: str | None = None


def option(default: Any, help: str, **more: Any) -> Any:
    """A field with a default, or with a function that makes one, and with what `Described` has of it."""
    described = {"option": Described(help, **more)}
    return field(default_factory=default, metadata=described) if callable(default) else field(default=default, metadata=described)


def required(help: str, **more: Any) -> Any:
    """A field without a default."""
    return field(metadata={"option": Described(help, **more)})


@dataclass(frozen=True)
class Option:
    """One field of a class of options: `kind` of a value (bool, int, float, str, Path or Results), whether it is `several` of
    them, and whether None is a value."""

    field: Field[Any]
    kind: type
    several: bool
    optional: bool

    @property
    def name(self) -> str:
        """As the field has it, and Python and YAML."""
        return self.field.name

    @property
    def described(self) -> Described:
        """Help, metavar and the like of the option."""
        return self.field.metadata["option"]

    @property
    def default(self) -> Any:
        """Its default as of now, which may be from the environment; MISSING where there is none."""
        return self.field.default if self.field.default_factory is MISSING else self.field.default_factory()

    @property
    def flag(self) -> str:
        """The name as a flag of the shell: --batch-size."""
        return "--" + self.name.replace("_", "-")

    def read(self, value: Any) -> Any:
        """The value as the field has it; a UserError where it is of another kind."""
        if value is None and self.optional:
            return None
        if not self.several:
            return self._one(value)
        single = isinstance(value, str | Path | Results | Component | Decoupling) or not hasattr(value, "__iter__")
        return tuple(map(self._one, [value] if single else value))

    def _one(self, value: Any) -> Any:
        text = isinstance(value, str | Path | Component | Decoupling)
        try:
            if self.kind is bool and isinstance(value, bool):
                return value
            if self.kind is int and not isinstance(value, bool):
                return operator.index(value)
            if self.kind is float and not isinstance(value, bool | str):
                return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
        if isinstance(value, Results) and self.kind is Results:
            return value
        if self.kind in (str, Path, Results) and text:
            if self.described.choices and str(value) not in self.described.choices:
                raise unknown(f"{self.name}:", str(value), self.described.choices)
            return self.kind(value)
        raise UserError(f"{self.name} is {_WORDS[self.kind]}, got {value!r}")


def options_of(cls: type) -> dict[str, Option]:
    """The options of a class, by name, in its order."""
    hints = get_type_hints(cls)
    return {one.name: _option(one, hints[one.name]) for one in fields(cls)}


def _option(one: Field[Any], hint: Any) -> Option:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    hint = next(part for part in parts if part is not NoneType)
    several = get_origin(hint) is tuple
    return Option(one, get_args(hint)[0] if several else hint, several, NoneType in parts)


def read_options(cls: type[Options], given: Mapping[str, Any]) -> Options:
    """Options of values by name; a name that there is not, a value of another kind and two that exclude each other are
    UserErrors."""
    known = options_of(cls)
    for name in given:
        if name not in known:
            raise unknown("keyword:", name, known)
    for name, one in known.items():
        if one.default is MISSING and name not in given:
            raise UserError(f"{name} has to be given: {one.described.help}")
    values = {name: known[name].read(value) for name, value in given.items()}
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        if (group := known[name].described.excludes) and value != known[name].default:
            groups.setdefault(group, []).append(name)
    for names in groups.values():
        if len(names) > 1:
            raise UserError(f"one of {' and '.join(names)} may be given, got both; leave one of them out")
    return cls(**values)


def keywords_of(cls: type, *positional: str) -> Callable[[Function], Function]:
    """Show the options of a class as keywords of a function, with their defaults, in its signature and its docstring; those in
    `positional` may also come by place."""

    def shown(function: Function) -> Function:
        by_place, by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        known = options_of(cls)
        own = [
            one
            for one in inspect.signature(function).parameters.values()
            if one.kind is inspect.Parameter.KEYWORD_ONLY and one.name not in known
        ]
        named = [*positional, *(name for name in known if name not in positional)]
        parameters = [
            inspect.Parameter(
                name,
                by_place if name in positional else by_name,
                default=inspect.Parameter.empty if known[name].default is MISSING else known[name].default,
            )
            for name in named
        ]
        signature = inspect.Signature([*parameters, *(one.replace(kind=by_name) for one in own)])
        function.__signature__ = signature  # type: ignore[attr-defined]
        texts = "\n".join(f"        {name}: {known[name].described.help}" for name in named)
        function.__doc__ = f"{function.__doc__}\n\n    Keywords, as the flags of the command:\n\n{texts}\n"
        return function

    return shown
