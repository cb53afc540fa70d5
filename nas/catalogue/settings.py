"""The settings of a name, with what each means: as its docstring says it, or as all of its kind share it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from nas.catalogue.kinds import Kind
from nas.catalogue.shared_meanings import SHARED
from spaces.backbones import BACKBONES
from spaces.named import KEYS, builtin_keys
from spaces.notation.component import Component, written


@dataclass(frozen=True)
class Setting:
    """A setting: what it may be, its default as it is written (None where it has to be given), and what it means."""

    name: str
    type: str
    default: str | None
    meaning: str


def settings_of(kind: Kind, name: str) -> tuple[Setting, ...]:
    """Those of a name, in the order in which they are written."""
    if kind.name == "experiments":
        return ()
    if kind.table is None:
        return _of_space(name)
    told = {**SHARED.get(kind.name, {}), **told_in(kind.table[name], kind.table.parameters(name))}
    return tuple(
        Setting(
            key,
            type_of(parameter.annotation),
            None if parameter.default is parameter.empty else _written(parameter.default),
            told.get(key, ""),
        )
        for key, parameter in kind.table.parameters(name).items()
    )


def _of_space(name: str) -> tuple[Setting, ...]:
    """The keys of its file, which may be given as settings, and those of its backbone."""
    keys = builtin_keys(Component(name))
    backbone = BACKBONES.resolve(str(keys["backbone"])) if "path=" in str(keys["backbone"]) else None
    component = backbone or Component.parse(str(keys["backbone"]))
    given = dict(component.settings)
    own = [
        Setting(key, "", written(_tuples(keys[key])) if key in keys else "None", SHARED["spaces"][key])
        for key in KEYS
        if key != "backbone"
    ]
    from nas.catalogue.kinds import KINDS

    of_backbone = [
        Setting(one.name, one.type, written(given[one.name]) if one.name in given else one.default, one.meaning)
        for one in settings_of(KINDS["backbones"], component.name)
    ]
    return (*own, *of_backbone)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def told_in(factory: Callable[..., Any], names: Collection[str]) -> dict[str, str]:
    """What the docstring says of settings, in lines that begin with a setting's name, two blanks and its meaning, which goes on
    in lines that are indented; of a class also those of the classes that it comes from."""
    sources = reversed(factory.__mro__) if inspect.isclass(factory) else [factory]
    found: dict[str, str] = {}
    for source in sources:
        found |= _told(inspect.cleandoc(source.__doc__ or ""), names)
    return found


def _told(text: str, names: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    column, last = 0, ""
    for line in text.splitlines():
        begun = re.match(r"(\w+)( +)(\S.*)", line)
        if begun and begun[1] in names and (len(begun[2]) > 1 or begun.start(3) == column):
            last, column = begun[1], begun.start(3)
            found[last] = begun[3]
        elif last and line.startswith(" " * min(column, 2)) and line.strip():
            found[last] += f" {line.strip()}"
        else:
            last = ""
    return found


def type_of(annotation: Any) -> str:
    """What a setting may be, in words: `a number`, `softmax or contrast`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(map(str, parts))
    if annotation in _WORDS:
        return _WORDS[annotation]
    if getattr(origin or annotation, "__name__", "") == "Nested":
        return "a component"
    if origin is tuple or getattr(origin, "__name__", "") == "Sequence":
        return f"a list of {_SEVERAL.get(parts[0], 'values')}" if parts else "a list"
    if parts:  # a union; None is the default's matter
        return " or ".join(dict.fromkeys(type_of(part) for part in parts if part is not type(None)))
    return ""


_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
_SEVERAL: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts"}


def _written(value: Any) -> str:
    plain = value if isinstance(value, bool | int | float | str | tuple | None) else str(value)
    return written(plain) if "(" not in str(plain) or isinstance(plain, tuple) else str(plain)
