"""Values of settings checked by their annotations, and what an annotation is called in a message."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from spaces.notation.component import Literal, written
from spaces.notation.errors import UserError, unknown

LISTS = (tuple, list, Sequence)  # annotations of a setting that is a list; it always comes as a tuple


def typed(value: Literal, annotation: Any, where: str) -> Literal:
    """`value` as the annotation wants it; an int serves as a float, a tuple's elements are checked one by one."""
    if annotation is Any:
        return value
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        options = get_args(annotation)
        if value is None and type(None) in options:
            return None
        for option in options:
            if option is not type(None) and _fits(value, option):
                return typed(value, option, where)
    elif origin is typing.Literal:
        if value in get_args(annotation):
            return value
        if isinstance(value, str):
            raise unknown(f"value of {where}:", value, [str(option) for option in get_args(annotation)])
    elif (origin or annotation) in LISTS:
        element, *_ = *get_args(annotation), Any
        if isinstance(value, tuple):
            return tuple(typed(entry, element, where) for entry in value)
    elif _fits(value, annotation):
        return annotation(value)
    raise UserError(f"{where} must be {_name(annotation)}, got {written(value)}")


def _fits(value: Literal, annotation: Any) -> bool:
    if (get_origin(annotation) or annotation) in LISTS:
        return isinstance(value, tuple)
    if get_origin(annotation) is typing.Literal:
        return value in get_args(annotation)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, annotation) and not (annotation is int and isinstance(value, bool))


def _name(annotation: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "a word or a quoted text", type(None): "None"}
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_name, get_args(annotation)))
    if get_origin(annotation) is typing.Literal:
        return " or ".join(map(written, get_args(annotation)))
    if get_origin(annotation) in LISTS:
        return "a list" + "".join(f" (each {_name(element)})" for element in get_args(annotation)[:1])
    return names.get(annotation) or str(annotation).replace("typing.", "")
